;; FAULTS 26: declares 32 MiB as its minimum, fine for the compile bounds, above the limit of the run.
;; Expected: error.kind "memory-limit".
(module
  (memory (export "memory") 512)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
