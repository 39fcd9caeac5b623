;; FAULTS 26: asks for 4294967294 table elements at once, is refused, and answers with its input.
;; Expected: the run ends well.
(module
  (table $t 1 externref)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (if (i32.ne (table.grow $t (ref.null extern) (i32.const -2)) (i32.const -1))
      (then (unreachable)))
    (local.get 1)))
