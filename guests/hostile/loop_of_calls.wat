;; FAULTS 25: an endless loop whose body is a call: no back edge but one, and the callee returns at once.
;; Expected: error.kind "time-limit".
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $nothing)
  (func (export "append") (param i32 i32) (result i32)
    (loop $again
      (call $nothing)
      (br $again))
    (unreachable)))
