;; FAULTS 28: has a memory that threads could share.
;; Expected: error.kind "unsupported-feature".
(module
  (memory (export "memory") 1 2 shared)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
