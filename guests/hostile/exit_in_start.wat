;; FAULTS 32: calls proc_exit in the start function.
;; Expected: error.kind "exit".
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1))
  (func $start (call $proc_exit (i32.const 3)))
  (start $start))
