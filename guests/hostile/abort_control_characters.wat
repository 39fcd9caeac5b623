;; FAULTS 32: calls AssemblyScript's abort with a message of terminal escapes, a line break and half a surrogate pair.
;; Expected: error.kind "abort".
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 12) "\0a\00\00\00" "\1b\00[\002\00\0a\00\00\d8") ;; length, then UTF-16
  (func (export "append") (param i32 i32) (result i32)
    (call $abort (i32.const 16) (i32.const 16) (i32.const 1) (i32.const 1))
    (local.get 1)))
