;; FAULTS 29: pointer and size of the packed result are both 0xffffffff.
;; Expected: error.kind "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64) (i64.const -1)))
