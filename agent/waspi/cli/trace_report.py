"""A run's trace as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE_BYTES = 65_536
SHOWN_BYTES = 200


def trace_lines(trace: Mapping[str, int | str], output: bytes) -> Iterator[str]:
    """Tell what happened in memory, in the order in which it happened; ``trace`` as :attr:`waspi.Outcome.trace`."""
    pointer, result_pointer = int(trace["pointer"]), int(trace["result_pointer"])
    pages = int(trace["memory_bytes"]) // PAGE_BYTES
    yield f"trace: pointer received       {pointer} ({pointer:#x}) for a buffer of {trace['buffer_size']} bytes"
    yield f"trace: size received          {trace['input_size']} bytes of input"
    yield f"trace: host memory address    {int(trace['memory_address']):#x} ({pages} pages of 64 KiB)"
    yield f"trace: host buffer address    {int(trace['buffer_address']):#x} (memory + {pointer:#x})"
    moved = "" if result_pointer == pointer else f" at pointer {result_pointer} ({result_pointer:#x})"
    yield f"trace: new size               {trace['new_size']} bytes{moved}"
    yield f"trace: result                 {_shown(output)}"


def _shown(output: bytes) -> str:
    more = f" ... ({len(output)} bytes)" if len(output) > SHOWN_BYTES else ""
    try:
        text = output[:SHOWN_BYTES].decode(errors="strict" if len(output) <= SHOWN_BYTES else "ignore")
    except UnicodeDecodeError:
        text = ""
    # Control characters of a guest must not reach the terminal.
    return (repr(text) if text or not output else output[:SHOWN_BYTES].hex(" ")) + more
