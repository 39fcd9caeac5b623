;; FAULTS 32: calls proc_exit(0): there is no result, so this is no success.
;; Expected: error.kind "exit".
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (call $proc_exit (i32.const 0)) (local.get 1)))
