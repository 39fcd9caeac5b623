;; FAULTS 25: an endless loop in dealloc, when the result is there already.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1))
  (func (export "dealloc") (param i32 i32)
    (loop $again (br $again))))
