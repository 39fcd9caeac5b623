;; _initialize takes a parameter: refused, or not called.
;; Expected: error.kind "wrong-signature" or none (the run ends well).
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1))
  (func (export "_initialize") (param i32) (unreachable)))
