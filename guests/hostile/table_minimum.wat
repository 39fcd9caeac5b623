;; FAULTS 26: declares a table of 4294967295 elements.
;; Expected: error.kind "module-too-large".
(module
  (table 4294967295 funcref)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
