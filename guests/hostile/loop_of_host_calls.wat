;; FAULTS 25: an endless loop of WASI calls: the time is spent in the host.
;; Expected: error.kind "time-limit".
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (loop $again
      (drop (call $random_get (i32.const 0) (i32.const 65536)))
      (br $again))
    (unreachable)))
