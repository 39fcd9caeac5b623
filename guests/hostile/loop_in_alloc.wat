;; FAULTS 25: an endless loop in alloc.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32)
    (loop $again (br $again))
    (unreachable))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
