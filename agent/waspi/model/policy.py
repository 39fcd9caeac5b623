"""What a device lets publishers do."""

from __future__ import annotations

from enum import StrEnum


class JobsPolicy(StrEnum):
    """Which jobs a device takes."""

    ANY = "any"
    """Every job that the broker delivers: the broker's access list is the guard."""
    SIGNED = "signed"
    """Only jobs that a trusted key has signed (COSE_Sign1, RFC 9052)."""


class InlinePolicy(StrEnum):
    """Whether a job may bring its module with it."""

    ALLOW = "allow"
    SIGNED = "signed"
    """Only in a signed job."""
    DENY = "deny"
