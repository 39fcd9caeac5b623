;; the entry gives an f32.
;; Expected: error.kind "wrong-signature".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result f32) (f32.const 0)))
