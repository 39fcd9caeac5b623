;; FAULTS 28: imports a function that no host offers.
;; Expected: error.kind "unknown-import".
(module
  (import "env" "open_the_door" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
