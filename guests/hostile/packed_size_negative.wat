;; FAULTS 29: the size of the packed result is -1, its pointer is fine.
;; Expected: error.kind "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64) (i64.const 0x00000400_ffffffff)))
