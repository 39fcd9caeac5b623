;; FAULTS 32: calls itself for ever through a table.
;; Expected: error.kind "stack-overflow".
(module
  (type $t (func (param i32 i32) (result i32)))
  (table funcref (elem $deep))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $deep (export "append") (type $t)
    (i32.add (call_indirect (type $t) (local.get 0) (local.get 1) (i32.const 0)) (i32.const 1))))
