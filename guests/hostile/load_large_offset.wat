;; FAULTS 32: reads at address 0xffffffff with offset 0xffffffff: the sum needs 33 bits.
;; Expected: error.kind "memory-out-of-bounds".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.load offset=0xffffffff (i32.const -1))))
