;; FAULTS 28: has a memory with 64-bit addresses.
;; Expected: error.kind "unsupported-feature".
(module
  (memory (export "memory") i64 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
