"""A pytest plugin: one share of the tests, so that several processes can run all of them (``-p cross.shard``)."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--shard 0/2``: every second test, from the first on; neighbours cost alike, so the shares do too."""
    parser.addoption("--shard", default="0/1", metavar="N/OF", help="run only this share of the tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the share."""
    at, of = (int(word) for word in config.getoption("--shard").split("/"))
    config.hook.pytest_deselected(items=[item for index, item in enumerate(items) if index % of != at])
    items[:] = items[at::of]
