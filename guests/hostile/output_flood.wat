;; FAULTS 26: answers with 8 MiB, more than the run allows, in the packed form.
;; Expected: error.kind "output-limit".
(module
  (memory (export "memory") 160)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64)
    (i64.const 8388608)))
