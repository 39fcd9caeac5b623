;; FAULTS 29: pointer and size of the packed result add up to 0x10, modulo 2^32.
;; Expected: error.kind "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64) (i64.const 0xfffffff0_00000020)))
