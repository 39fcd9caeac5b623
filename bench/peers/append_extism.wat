;; The append guest for extism's own ABI: input and output are blocks of the host's memory, which it copies with calls.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "<---- This is your string") ;; 25 bytes

  (func (export "append") (result i32)
    (local $size i64) (local $out i64) (local $at i64)
    (local.set $size (call $input_length))
    (local.set $out (call $alloc (i64.add (local.get $size) (i64.const 25))))
    ;; the input, eight bytes at a time, then one
    (block $copied
      (loop $more
        (br_if $copied (i64.gt_u (i64.add (local.get $at) (i64.const 8)) (local.get $size)))
        (call $store_u64 (i64.add (local.get $out) (local.get $at)) (call $input_load_u64 (local.get $at)))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $more)))
    (block $copied
      (loop $more
        (br_if $copied (i64.ge_u (local.get $at) (local.get $size)))
        (call $store_u8 (i64.add (local.get $out) (local.get $at)) (call $input_load_u8 (local.get $at)))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $more)))
    ;; the suffix: 3 x 8 + 1 bytes
    (local.set $at (i64.add (local.get $out) (local.get $size)))
    (call $store_u64 (local.get $at) (i64.load (i32.const 0)))
    (call $store_u64 (i64.add (local.get $at) (i64.const 8)) (i64.load (i32.const 8)))
    (call $store_u64 (i64.add (local.get $at) (i64.const 16)) (i64.load (i32.const 16)))
    (call $store_u8 (i64.add (local.get $at) (i64.const 24)) (i32.load8_u (i32.const 24)))
    (call $output_set (local.get $out) (i64.add (local.get $size) (i64.const 25)))
    (i32.const 0)))
