;; exports no alloc.
;; Expected: error.kind "missing-export".
(module
  (memory (export "memory") 1)
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
