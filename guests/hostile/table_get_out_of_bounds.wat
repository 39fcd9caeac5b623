;; FAULTS 32: reads a table element that is not there.
;; Expected: error.kind "table-out-of-bounds".
(module
  (table $t 1 funcref)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (drop (table.get $t (i32.const 7))) (local.get 1)))
