;; FAULTS 32: has an element segment behind its table, found when the module is instantiated.
;; Expected: error.kind "table-out-of-bounds" or "invalid-module".
(module
  (table 1 funcref)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $f (export "append") (param i32 i32) (result i32) (local.get 1))
  (elem (i32.const 1) $f))
