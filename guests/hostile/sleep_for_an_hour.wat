;; FAULTS 25: sleeps through poll_oneoff: an hour in the host, not an operator of the guest.
;; Expected: error.kind "time-limit".
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1)) ;; subscription at 0: tag 0 (clock) at 8, clock 1 (monotonic)
    (i64.store (i32.const 24) (i64.const 3600000000000)) ;; nanoseconds from now
    (drop (call $poll_oneoff (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))
    (local.get 1)))
