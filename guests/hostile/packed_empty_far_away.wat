;; FAULTS 29: an empty packed result at an address behind memory: nothing is read, so either verdict is right.
;; Expected: error.kind none (the run ends well) or "bad-pointer".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64) (i64.const 0xffffffff_00000000)))
