;; FAULTS 26: declares 4 GiB of memory as its minimum.
;; Expected: error.kind "module-too-large" or "memory-limit".
(module
  (memory (export "memory") 65536)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
