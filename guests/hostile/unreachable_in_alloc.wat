;; FAULTS 32: executes unreachable in alloc: the way to say that there is no memory.
;; Expected: error.kind "unreachable".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (unreachable))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
