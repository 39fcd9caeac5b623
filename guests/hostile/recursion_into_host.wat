;; FAULTS 32: calls the host at every depth of an endless recursion: a host function must not run on what is left of
;; the guest's stack.
;; Expected: error.kind "stack-overflow".
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $deep (export "append") (param i32 i32) (result i32)
    (drop (call $random_get (i32.const 0) (i32.const 8)))
    (i32.add (call $deep (local.get 0) (local.get 1)) (i32.const 1))))
