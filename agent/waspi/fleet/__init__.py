"""The operator's side: a client that pushes jobs to devices, the update repository, keys and broker set-up."""

from waspi.fleet.client import Client

__all__ = ["Client"]
