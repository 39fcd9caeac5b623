;; FAULTS 28: wants a table from the host.
;; Expected: error.kind "unknown-import".
(module
  (import "env" "table" (table 1 funcref))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
