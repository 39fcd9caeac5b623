;; FAULTS 25: an endless loop in a reactor's _initialize.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1))
  (func (export "_initialize")
    (loop $again (br $again))))
