"""A device of a simulated fleet: the protocol's real code, a sandbox and a clock that are made up.

It reads the deployments that are published, works out what it shall run, takes a release through the lifecycle of
:mod:`waspi.model.module_state`, one state a tick, and reports it in the bytes that a real one would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from waspi.fleet.registry import DeviceView, Registry
from waspi.model.deployment import Deployment
from waspi.model.module_state import ModuleState, may_become
from waspi.protocol.presence import Presence, PresenceState, encode_presence
from waspi.protocol.reported import Reported, ReportedModule, encode_reported
from waspi.protocol.wanted import check_serial, wanted_modules

STEPS = [
    ModuleState.FETCHED,
    ModuleState.VERIFIED,
    ModuleState.COMPILED,
    ModuleState.TESTED,
    ModuleState.TRIAL,
    ModuleState.ACTIVE,
]


@dataclass(slots=True)
class SimulatedModule:
    """One version of a module on the device."""

    version: str
    state: ModuleState
    reason: str = ""
    retry: int = 0


@dataclass(slots=True)
class FleetMember:
    """``bad`` maps versions to the state that this board cannot leave forward, as its sandbox would find out."""

    id: str
    groups: tuple[str, ...] = ("kitchen",)
    bad: Mapping[str, ModuleState] = field(default_factory=dict)
    slow: int = 1
    """Ticks for each step."""
    online: bool = True
    trouble: str = ""
    """Why it cannot look for updates, as it says."""
    modules: dict[str, list[SimulatedModule]] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)
    history: list[tuple[str, str, str]] = field(default_factory=list)
    """``(name, version, state)`` in the order in which it happened."""
    _ticks: int = 0

    def tick(self, deployments: Mapping[str, Deployment]) -> None:
        """Let one step's time go by; an offline device does nothing."""
        self._ticks += 1
        if not self.online or self._ticks % self.slow:
            return
        mine = {group: deployments[group] for group in self.groups if group in deployments}
        for group, deployment in mine.items():
            check_serial(deployment, group=group, seen=self.serials.get(group, 0))
            self.serials[group] = deployment.serial
        current = {name: version for name in self.modules if (version := self.serving(name))}
        wanted = wanted_modules(mine, device=self.id, groups=self.groups, current=current)
        for name in [name for name in self.modules if name not in wanted]:
            del self.modules[name]
        for name, want in wanted.items():
            if want.version is not None:
                self._toward(name, want.version, want.retry)

    def serving(self, name: str) -> str | None:
        """The version that jobs run on: a trial goes before the last good one."""
        held = self.modules.get(name, [])
        for state in (ModuleState.TRIAL, ModuleState.ACTIVE):
            for module in held:
                if module.state is state:
                    return module.version
        return None

    def view(self, registry: Registry) -> DeviceView:
        """The device as an operator sees it, through the bytes of its messages."""
        state = PresenceState.ONLINE if self.online else PresenceState.OFFLINE
        registry.presence(self.id, encode_presence(self.presence(state)))
        registry.reported(self.id, encode_reported(self.reported()))
        return registry.get(self.id)

    def presence(self, state: PresenceState) -> Presence:
        """What it says of being there."""
        return Presence(state, "boot-1", 1_900_000_000)

    def reported(self) -> Reported:
        """What it says of itself."""
        modules = tuple(
            ReportedModule(name, each.version, "ab" * 32, str(each.state), each.reason)
            for name, held in sorted(self.modules.items())
            for each in held
        )
        return Reported(
            "0.1.0",
            "simulated 1.0",
            "none",
            "boot-1",
            modules=modules,
            groups=self.groups,
            deployments=self.serials,
            updates=self.trouble,
        )

    def _toward(self, name: str, version: str, retry: int) -> None:
        held = self.modules.setdefault(name, [])
        module = next((each for each in held if each.version == version), None)
        if module is None or (module.state.final and retry > module.retry):
            held[:] = [each for each in held if each.version != version]
            held.append(SimulatedModule(version, ModuleState.FETCHED, retry=retry))
            self.history.append((name, version, "FETCHED"))
        elif module.state is ModuleState.RETIRED:
            self._serve(name, module)
        elif module.state is ModuleState.ACTIVE:
            self._end_trials(name, module)
        elif not module.state.final:
            if self.bad.get(version) is module.state:
                gone = ModuleState.ROLLED_BACK if module.state is ModuleState.TRIAL else ModuleState.FAILED
                module.reason = f"cannot leave {module.state} on this board"
                self._become(name, module, gone)
            else:
                after = STEPS[STEPS.index(module.state) + 1]
                self._serve(name, module) if after is ModuleState.ACTIVE else self._become(name, module, after)

    def _serve(self, name: str, module: SimulatedModule) -> None:
        for other in self.modules[name]:
            if other.state is ModuleState.ACTIVE:
                self._become(name, other, ModuleState.RETIRED)
        self._end_trials(name, module)
        self._become(name, module, ModuleState.ACTIVE)

    def _end_trials(self, name: str, module: SimulatedModule) -> None:
        for other in self.modules[name]:
            if other.state is ModuleState.TRIAL and other is not module:
                other.reason = "another version was deployed"
                self._become(name, other, ModuleState.ROLLED_BACK)

    def _become(self, name: str, module: SimulatedModule, state: ModuleState) -> None:
        assert may_become(module.state, state), (module.state, state)
        module.state = state
        self.history.append((name, module.version, str(state)))
