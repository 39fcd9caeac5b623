;; FAULTS 32: takes the remainder of a division by zero.
;; Expected: error.kind "division-by-zero".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.wrap_i64 (i64.rem_u (i64.const 1) (i64.const 0)))))
