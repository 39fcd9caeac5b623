;; FAULTS 25: an endless loop in the start function, which runs while the module is instantiated.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1))
  (func $start
    (loop $again (br $again)))
  (start $start))
