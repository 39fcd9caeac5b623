"""Guests as WebAssembly text, so that the command line's tests need no compiler."""

from __future__ import annotations

from pathlib import Path

SUFFIX = "<---- This is your string"

APPEND = f"""
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "{SUFFIX}")
  (global $next (mut i32) (i32.const 1024))
  (func (export "alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get $size)))
    (local.get $at))
  (func (export "append") (param $at i32) (param $size i32) (result i32)
    (memory.copy (i32.add (local.get $at) (local.get $size)) (i32.const 0) (i32.const {len(SUFFIX)}))
    (i32.add (local.get $size) (i32.const {len(SUFFIX)})))
  (func (export "trap") (param i32 i32) (result i32) unreachable)
  (func (export "forever") (param i32 i32) (result i32) (loop $again (br $again)) (i32.const 0))
  (func (export "wrong") (param i64) (result i32) (i32.const 0)))
"""

UNKNOWN_IMPORT = """
(module
  (import "env" "launch_missiles" (func (param i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (i32.const 0)))
"""

NO_ALLOC = """
(module
  (memory (export "memory") 1)
  (func (export "append") (param i32 i32) (result i32) (i32.const 0)))
"""

LOGS = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 16) "hello")
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param $at i32) (param $size i32) (result i32)
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (local.get $size)))
"""


def write(folder: Path, text: str, name: str = "guest.wat") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)
