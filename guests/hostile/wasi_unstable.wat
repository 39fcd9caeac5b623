;; FAULTS 28: imports from WASI's first snapshot, which had another layout.
;; Expected: error.kind "unknown-import".
(module
  (import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
