;; FAULTS 32: divides by zero.
;; Expected: error.kind "division-by-zero".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.div_s (local.get 1) (i32.const 0))))
