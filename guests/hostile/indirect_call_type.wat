;; FAULTS 32: calls a table element of another type.
;; Expected: error.kind "bad-indirect-call".
(module
  (type $t (func (result i32)))
  (table funcref (elem $f))
  (func $f)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (call_indirect (type $t) (i32.const 0))))
