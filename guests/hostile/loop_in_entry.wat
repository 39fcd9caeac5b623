;; FAULTS 25: an endless loop in the entry.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (loop $again (br $again))
    (unreachable)))
