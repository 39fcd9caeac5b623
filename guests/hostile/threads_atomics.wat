;; FAULTS 28: waits on an atomic.
;; Expected: error.kind "unsupported-feature".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (memory.atomic.notify (i32.const 0) (i32.const 1))))
