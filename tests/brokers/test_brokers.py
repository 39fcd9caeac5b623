"""In short: this machine's mosquitto, and RabbitMQ with what is known of it; ``make conformance-brokers`` has all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers.brokers import Broker, Mosquitto, RabbitMq
from tests.brokers.checks import CHECKS, outcome


@pytest.mark.parametrize("kind", [Mosquitto, RabbitMq], ids=lambda kind: kind.name)
def test_all_checks_but_those_that_are_the_brokers_own_fault(kind: type[Broker], tmp_path: Path) -> None:
    with kind(tmp_path / "broker") as broker:
        failed = {each.name: told for each in CHECKS if (told := outcome(each, broker, tmp_path)) is not None}
        assert failed.keys() == kind.faults.keys(), failed
