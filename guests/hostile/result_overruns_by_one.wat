;; FAULTS 29: the entry answers with one byte more than its buffer has (input + headroom 30).
;; Expected: error.kind "buffer-overrun".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.add (local.get 1) (i32.const 31))))
