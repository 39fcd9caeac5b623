;; FAULTS 28: wants its memory from the host.
;; Expected: error.kind "unknown-import".
(module
  (import "env" "memory" (memory 1))
  (export "memory" (memory 0))
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
