;; FAULTS 28: the name of its import holds terminal escapes and a line break; the message must stay one printable line.
;; Expected: error.kind "unknown-import".
(module
  (import "env" "\1b[2J\1b[31mall is well\0a\00" (func))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))
