;; the export memory is a function.
;; Expected: error.kind "wrong-signature" or "missing-export".
(module
  (memory 1)
  (func (export "memory"))
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
