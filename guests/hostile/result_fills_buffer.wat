;; FAULTS 29: the entry answers with all of its buffer: legal.
;; Expected: the run ends well.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.add (local.get 1) (i32.const 30))))
