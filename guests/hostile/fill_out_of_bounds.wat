;; FAULTS 32: fills 4 GiB of a 64 KiB memory.
;; Expected: error.kind "memory-out-of-bounds".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (memory.fill (i32.const 16) (i32.const 0) (i32.const -1)) (local.get 1)))
