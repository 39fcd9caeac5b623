;; FAULTS 32: turns a NaN into an i32.
;; Expected: error.kind "integer-overflow".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.trunc_f32_u (f32.const nan))))
