;; FAULTS 32: has a data segment behind memory, found when the module is instantiated.
;; Expected: error.kind "memory-out-of-bounds" or "invalid-module".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1))
  (data (i32.const 65535) "ab"))
