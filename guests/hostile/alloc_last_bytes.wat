;; FAULTS 29: alloc gives 8 bytes before the end of memory: input or headroom do not fit.
;; Expected: error.kind "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 65528))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
