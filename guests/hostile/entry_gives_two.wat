;; the entry gives pointer and size as two values; the packed form is one i64.
;; Expected: error.kind "wrong-signature".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1)))
