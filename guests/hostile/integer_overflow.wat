;; FAULTS 32: divides the smallest integer by -1.
;; Expected: error.kind "integer-overflow".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.div_s (i32.const 0x80000000) (i32.const -1))))
