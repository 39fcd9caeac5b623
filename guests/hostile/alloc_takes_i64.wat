;; alloc takes an i64.
;; Expected: error.kind "wrong-signature".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i64) (result i32) (i32.const 0))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
