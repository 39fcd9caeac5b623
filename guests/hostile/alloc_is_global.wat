;; the export alloc is a global.
;; Expected: error.kind "wrong-signature" or "missing-export".
(module
  (memory (export "memory") 1)
  (global (export "alloc") i32 (i32.const 0))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
