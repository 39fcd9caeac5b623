;; FAULTS 28: tries a file, a socket, a directory, a descriptor and a bad pointer through WASI; every call answers with
;; an errno other than 0. The result is the errnos.
;; Expected: the run ends well.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $sock_shutdown (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "/etc/passwd")
  (func (export "append") (param $ptr i32) (param i32) (result i32)
    (i32.store8 (local.get $ptr)
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 11) (i32.const 0)
        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)))
    (i32.store8 offset=1 (local.get $ptr)
      (call $fd_read (i32.const 7) (i32.const 64) (i32.const 1) (i32.const 80)))
    (i32.store8 offset=2 (local.get $ptr) (call $fd_prestat_get (i32.const 3) (i32.const 64)))
    (i32.store8 offset=3 (local.get $ptr) (call $sock_shutdown (i32.const 4) (i32.const 2)))
    (i32.store8 offset=4 (local.get $ptr) (call $args_sizes_get (i32.const -1) (i32.const -1)))
    (i32.const 5)))
