;; FAULTS 26: calls fd_write with 4294967295 vectors, and with one whose bytes lie outside memory; the host answers
;; with an errno and does not walk through them. The result is the two errnos.
;; Expected: error.kind none (the run ends well) or "memory-out-of-bounds".
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param $ptr i32) (param i32) (result i32)
    (i32.store (i32.const 0) (i32.const 0xfffffff0))
    (i32.store (i32.const 4) (i32.const 0x7fffffff))
    (i32.store8 (local.get $ptr)
      (call $fd_write (i32.const 2) (i32.const 0) (i32.const -1) (i32.const 8)))
    (i32.store8 offset=1 (local.get $ptr)
      (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.const 2)))
