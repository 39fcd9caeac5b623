;; FAULTS 32: reads the word behind memory.
;; Expected: error.kind "memory-out-of-bounds".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.load (i32.const 65533))))
