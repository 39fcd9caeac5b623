;; FAULTS 29: alloc gives an address whose sum with the size wraps at 2^32 to a small one.
;; Expected: error.kind "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.sub (i32.const 0) (local.get 0)))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
