;; FAULTS 26: doubles a table until table.grow says -1 (a host without a cap on tables would give 32 GiB); the result
;; is the input.
;; Expected: the run ends well.
(module
  (table $t 1 funcref)
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (loop $again
      (br_if $again
        (i32.ne (table.grow $t (ref.null func) (table.size $t)) (i32.const -1))))
    (local.get 1)))
