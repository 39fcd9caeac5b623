;; The reference guest by hand: appends "<---- This is your string" in place. 200 bytes of module, nothing imported.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "<---- This is your string") ;; 25 bytes
  (global $top (mut i32) (i32.const 32)) ;; end of what is handed out

  ;; alloc(size) -> address of a fresh buffer
  (func (export "alloc") (param $size i32) (result i32)
    (local $begin i32) (local $end i64) (local $missing i64)
    (local.set $begin (global.get $top))
    (local.set $end (i64.add (i64.extend_i32_u (local.get $begin)) (i64.extend_i32_u (local.get $size))))
    ;; pages up to the end, less the pages that are there
    (local.set $missing
      (i64.sub
        (i64.shr_u (i64.add (local.get $end) (i64.const 65535)) (i64.const 16))
        (i64.extend_i32_u (memory.size))))
    (if (i64.gt_s (local.get $missing) (i64.const 0))
      (then
        (if (i32.eq (memory.grow (i32.wrap_i64 (local.get $missing))) (i32.const -1))
          (then (unreachable)))))
    (global.set $top (i32.wrap_i64 (local.get $end)))
    (local.get $begin))

  ;; dealloc(pointer, size) takes back the buffer that was handed out last
  (func (export "dealloc") (param $pointer i32) (param $size i32)
    (if (i32.eq (i32.add (local.get $pointer) (local.get $size)) (global.get $top))
      (then (global.set $top (local.get $pointer)))))

  ;; append(pointer, size) -> new size
  (func (export "append") (param $pointer i32) (param $size i32) (result i32)
    (memory.copy (i32.add (local.get $pointer) (local.get $size)) (i32.const 0) (i32.const 25))
    (i32.add (local.get $size) (i32.const 25))))
