;; FAULTS 32: calls AssemblyScript's abort with a message whose length field says 2 GiB.
;; Expected: error.kind "abort".
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (i32.store (i32.const 12) (i32.const 0x7ffffffe)) ;; length in bytes, before the UTF-16 text
    (call $abort (i32.const 16) (i32.const 0) (i32.const 1) (i32.const 1))
    (local.get 1)))
