"""What ``guests/redact`` must give, by regular expressions."""

from __future__ import annotations

import re

WORD = re.compile(rb"[A-Za-z0-9._%+@-]+")
EMAIL = re.compile(rb"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = re.compile(OCTET + rb"(?:\." + OCTET + rb"){3}")
DIGITS = re.compile(rb"[0-9](?:[ -]?[0-9]){0,18}")


def luhn(digits: bytes) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = (digit - 48) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_end(text: bytes, begin: int) -> int | None:
    """End of the longest card number at ``begin``."""
    match = DIGITS.match(text, begin)
    if match is None:
        return None
    for end in range(match.end(), begin, -1):
        digits = re.sub(rb"[ -]", b"", text[begin:end])
        bounded = end == len(text) or not WORD.match(text, end)
        if text[end - 1 : end].isdigit() and len(digits) >= 13 and bounded and luhn(digits):
            return end
    return None


def redact(text: bytes) -> bytes:
    """The text with marks for what was found."""
    out, at = bytearray(), 0
    while at < len(text):
        word = WORD.match(text, at)
        end = card_end(text, at) if word else None
        if word is None:
            out += text[at : at + 1]
            at += 1
        elif end is not None:
            out += b"[card]"
            at = end
        else:
            core = word.group().rstrip(b".")
            mark = b"[email]" if EMAIL.fullmatch(core) else b"[ip]" if IPV4.fullmatch(core) else core
            out += mark + word.group()[len(core) :]
            at = word.end()
    return bytes(out)
