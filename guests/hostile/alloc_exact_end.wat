;; FAULTS 29: alloc gives a buffer that ends exactly where memory ends: legal.
;; Expected: the run ends well.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.sub (i32.const 65536) (local.get 0)))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
