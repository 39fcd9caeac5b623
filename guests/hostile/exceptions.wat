;; FAULTS 28: throws.
;; Expected: error.kind "unsupported-feature".
(module
  (tag $oops)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (throw $oops)))
