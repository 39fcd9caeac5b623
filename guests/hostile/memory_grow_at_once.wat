;; FAULTS 26: asks for 65535 pages at once, is refused, and answers with its input.
;; Expected: the run ends well.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1))
      (then (unreachable)))
    (local.get 1)))
