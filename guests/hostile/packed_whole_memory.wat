;; FAULTS 29: the packed result is the whole memory, 65536 bytes: legal.
;; Expected: the run ends well.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64) (i64.const 0x00000000_00010000)))
