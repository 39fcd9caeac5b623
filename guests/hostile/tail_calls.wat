;; FAULTS 28: loops for ever by tail calls, without a back edge: refused, or stopped in time.
;; Expected: error.kind "unsupported-feature" or "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $again (export "append") (param i32 i32) (result i32)
    (return_call $again (local.get 0) (local.get 1))))
