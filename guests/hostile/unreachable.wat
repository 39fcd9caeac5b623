;; FAULTS 32: executes unreachable in a function called below the entry.
;; Expected: error.kind "unreachable".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $panic (unreachable))
  (func (export "append") (param i32 i32) (result i32)
    (call $panic)
    (local.get 1)))
