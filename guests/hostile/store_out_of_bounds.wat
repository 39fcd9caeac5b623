;; FAULTS 32: writes far behind memory.
;; Expected: error.kind "memory-out-of-bounds".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.store (i32.const 0x7ffffff0) (i32.const 1)) (local.get 1)))
