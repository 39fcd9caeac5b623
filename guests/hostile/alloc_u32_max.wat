;; FAULTS 29: alloc gives 0xffffffff, the last address of all (or -1).
;; Expected: error.kind "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const -1))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
