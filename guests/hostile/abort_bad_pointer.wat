;; FAULTS 32: calls AssemblyScript's abort with a message and a file outside memory.
;; Expected: error.kind "abort".
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (call $abort (i32.const -1) (i32.const 2) (i32.const -1) (i32.const -1)) (local.get 1)))
