;; FAULTS 26: writes 64 MiB to stderr; the log is cut at its cap, the result is the input.
;; Expected: the run ends well.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (local $left i32)
    (local.set $left (i32.const 1024))
    (i32.store (i32.const 0) (i32.const 0)) ;; one vector: the whole memory
    (i32.store (i32.const 4) (i32.const 65536))
    (loop $again
      (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (local.get 1)))
