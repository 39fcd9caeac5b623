;; FAULTS 25: an endless loop of memory.fill over 16 MiB: one metered operator does the work of millions, so fuel alone
;; does not stop it in time.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 256)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (loop $again
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 16777216))
      (br $again))
    (unreachable)))
