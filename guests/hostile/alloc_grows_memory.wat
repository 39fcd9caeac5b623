;; FAULTS 29: memory grows during alloc and the buffer lies in the new part; the result is the input.
;; Expected: the run ends well.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.mul (memory.grow (i32.const 100)) (i32.const 65536)))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
