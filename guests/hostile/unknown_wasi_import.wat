;; FAULTS 28: imports a function that WASI preview 1 does not have.
;; Expected: error.kind "unknown-import".
(module
  (import "wasi_snapshot_preview1" "fork" (func (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
