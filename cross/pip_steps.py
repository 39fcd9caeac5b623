"""The other way onto a board: pip, from the wheelhouse, and ``waspi install-service``; the depot goes this way only."""

from __future__ import annotations

import time

from cross.failure import Failure
from cross.machine import HOST
from cross.steps import PASSWORD, USER, Steps

FLEET = "other"
"""Of the depot: the board under test must not take it for its own."""
INSTALL = """(set -e
python3 -m venv /opt/waspi
/opt/waspi/bin/pip install --quiet --no-index --find-links /root/wheelhouse 'waspi[cli,ota]'
/opt/waspi/bin/waspi install-service
systemctl daemon-reload)"""
# The credential's folder is the unit's own; its name is part of systemd's interface (CREDENTIALS_DIRECTORY).
DEPOT = f"""(set -e
/opt/waspi/bin/waspi repo init /srv/waspi/repository --keys /root/keys
/opt/waspi/bin/waspi install-service --depot
(umask 077; printf '%s' '{PASSWORD}' > /etc/waspi/credentials/depot.password)
echo 'WASPI_DEPOT_OPTIONS=--broker mqtt://{USER}@{HOST}:{{port}} --fleet {FLEET} \\
--password-file /run/credentials/waspi-depot.service/waspi_depot.password' > /etc/waspi/depot.env
systemctl daemon-reload
systemctl start waspi-depot)"""
UNINSTALL = """(set -e
systemctl disable --quiet --now waspi waspi-depot
rm -r /opt/waspi /etc/waspi /etc/systemd/system/waspi*.service /var/lib/private/waspi /var/lib/waspi /srv/waspi
systemctl daemon-reload)"""


class PipSteps:
    """On the board of ``steps``, after the package was purged."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def by_pip(self) -> None:
        """A virtual environment from the wheelhouse, ``waspi install-service``, online."""
        started = time.monotonic()
        self._steps.machine.run(INSTALL, timeout=600)
        self._steps.figures["pip install"] = f"{time.monotonic() - started:.0f} s"
        self._steps.provision()
        before = time.monotonic()
        self._steps.machine.run("systemctl enable --now waspi", timeout=120)
        self._steps.outsider.presence("online", since=before, timeout=120)
        self._steps.run_job("by-pip")

    def depot(self) -> None:
        """``waspi install-service --depot``: within its unit's walls it serves a repository that was made there."""
        before = time.monotonic()
        self._steps.machine.run(DEPOT.replace("{port}", str(self._steps.broker_port)), timeout=120)
        self._steps.outsider.announcement(FLEET, since=before, timeout=120)
        state = self._steps.machine.run("systemctl show -P NRestarts -P ActiveState waspi-depot").split()
        if state != ["0", "active"]:
            raise Failure(f"restarts and state of the depot: {state}")

    def uninstall(self) -> None:
        """What README says about an uninstall after pip leaves nothing."""
        self._steps.machine.run(UNINSTALL, timeout=120)
        self._steps.check_nothing_left()
