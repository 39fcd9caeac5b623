;; FAULTS 32: calls itself for ever.
;; Expected: error.kind "stack-overflow".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $deep (export "append") (param i32 i32) (result i32)
    (i32.add (call $deep (local.get 0) (local.get 1)) (i32.const 1))))
