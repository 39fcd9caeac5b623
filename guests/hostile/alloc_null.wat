;; FAULTS 29: alloc gives 0, an address like any other in Wasm and the end of memory in C.
;; Expected: error.kind none (the run ends well) or "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
