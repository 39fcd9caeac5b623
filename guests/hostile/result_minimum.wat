;; FAULTS 29: the entry answers with size -2147483648.
;; Expected: error.kind "bad-pointer" or "buffer-overrun".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.const 0x80000000)))
