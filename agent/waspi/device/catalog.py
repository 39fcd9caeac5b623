"""The modules that this device knows by name."""

from __future__ import annotations

import hashlib
from dataclasses import field, replace
from typing import TYPE_CHECKING

from waspi.abi_description import abi_for_file
from waspi.device.settings import LocalModule
from waspi.errors import ConfigError, UnknownModuleError
from waspi.model.abi import DEFAULT_ABI, Abi, ModuleFormat
from waspi.model.limits import Limits
from waspi.model.module import BYTECODE, DigestModule, NamedModule
from waspi.model.release import Release
from waspi.model.value import value
from waspi.protocol.reported import ReportedModule
from waspi.sandbox.cache import ModuleCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.errors import StorageError
    from waspi.sandbox.background import Background

ACTIVE = "ACTIVE"
TRIAL = "TRIAL"


@value
class Deployed:
    """A module that may be run by its name."""

    name: str
    version: str
    digest: str
    abi: Abi = DEFAULT_ABI
    limits: Limits = field(default_factory=Limits)
    state: str = ACTIVE
    reason: str = ""

    @property
    def label(self) -> str:
        """What a result says of the module that ran."""
        return f"{self.name}@{self.version}" + ("" if self.state == ACTIVE else f" ({self.state.lower()})")


@value
class Resolved:
    """A job's module: where its bytes are and how to run them."""

    digest: str
    label: str
    abi: Abi = DEFAULT_ABI
    limits: Limits = field(default_factory=Limits)

    def abi_for(self, asked: Abi | None) -> Abi:
        """How to run it for a job that states a description or none: what its bytes are is not the job's to say."""
        if asked is None:
            return self.abi
        if self.abi.format is ModuleFormat.WASM or asked.format is self.abi.format:
            return asked
        entry = self.abi.entry if asked.entry == DEFAULT_ABI.entry else asked.entry
        return replace(self.abi, entry=entry, input=asked.input, output=asked.output)

    @property
    def where(self) -> str:
        """What the journal says of the module: name and version where it was named, and always its digest."""
        named = "" if self.label.startswith("sha256:") else f"{self.label}#"
        return f"{named}sha256:{self.digest}"


class Catalog:
    """Names to modules; bytes live in the cache, where named ones are never evicted."""

    def __init__(self, cache: ModuleCache) -> None:
        self._cache = cache
        self._deployed: dict[str, Deployed] = {}
        self._others: dict[str, tuple[Deployed, ...]] = {}
        self._local: set[str] = set()

    def add_local(self, module: LocalModule) -> None:
        """Take in a module that the configuration names. Raises ``ConfigError`` or ``StorageError``."""
        wasm, abi = files_of(module)
        self._local.add(module.name)
        self.deploy(Deployed(module.name, module.version, self._cache.put(wasm), abi, module.limits))

    def deploy(self, module: Deployed) -> None:
        """Make ``module`` what its name stands for; its bytes are in the cache."""
        self._cache.pin(module.digest)
        before = self._deployed.get(module.name)
        self._deployed[module.name] = module
        if before is not None:
            self._cache.unpin(before.digest)

    def serve(self, release: Release, *, trial: bool, others: tuple[Release, ...]) -> None:
        """Make a release what its name stands for; ``others`` are run when a job names their version."""
        self._others[release.name] = tuple(_deployed(other, ACTIVE) for other in others)
        self.deploy(_deployed(release, TRIAL if trial else ACTIVE))

    def withdraw(self, name: str) -> None:
        """The name stands for nothing any more."""
        self._others.pop(name, None)
        before = self._deployed.pop(name, None)
        if before is not None:
            self._cache.unpin(before.digest)

    def fixed(self) -> tuple[str, ...]:
        """Modules that the configuration names: no deployment touches them."""
        return tuple(sorted(self._local))

    def has(self, digest: str) -> bool:
        """Whether the module is here (``bool``)."""
        return self._cache.has(digest)

    def find(self, wasm: bytes) -> Resolved | None:
        """Where a module is whose bytes came along, if it is here. Hashes them."""
        digest = hashlib.sha256(wasm).hexdigest()
        if not self._cache.has(digest):
            return None
        self._cache.touch(digest)
        return Resolved(digest, f"sha256:{digest}")

    def store(self, wasm: bytes, background: Background, then: Callable[[Resolved, StorageError | None], None]) -> None:
        """Take in a module whose bytes came along; ``then`` is told where it is and, unless it is there, why not."""
        self._cache.store(wasm, background, lambda digest, error: then(Resolved(digest, f"sha256:{digest}"), error))

    def resolve(self, module: DigestModule | NamedModule) -> Resolved:
        """Where the module of a job is, which names it. Raises ``UnknownModuleError``."""
        if isinstance(module, DigestModule):
            if not self._cache.has(module.sha256):
                raise UnknownModuleError(f"no module sha256:{module.sha256} is on this device; send it inline once")
            return Resolved(module.sha256, f"sha256:{module.sha256}")
        found = self._deployed.get(module.name)
        if found is None:
            known = ", ".join(sorted(self._deployed)) or "none"
            raise UnknownModuleError(f"no module is deployed here as {module.name!r}; deployed: {known}")
        if module.version is not None and module.version != found.version:
            for other in self._others.get(module.name, ()):
                if other.version == module.version:
                    return Resolved(other.digest, other.label, other.abi, other.limits)
            raise UnknownModuleError(
                f"module {module.name!r} is deployed here in version {found.version}, not {module.version}"
            )
        return Resolved(found.digest, found.label, found.abi, found.limits)

    def reported(self) -> tuple[ReportedModule, ...]:
        """What reported state says of the modules that the configuration names."""
        return tuple(
            ReportedModule(each.name, each.version, each.digest, each.state, each.reason)
            for each in sorted(self._deployed.values(), key=lambda each: each.name)
            if each.name in self._local
        )


def files_of(module: LocalModule) -> tuple[bytes, Abi]:
    """Read a module that the configuration names: its bytecode and how to run it. Raises ``ConfigError``."""
    what = f"modules.{module.name}.path"
    try:
        wasm = module.path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what}: cannot read {module.path}: {error.strerror}") from error
    abi = abi_for_file(module.abi, module.path.name) or DEFAULT_ABI
    if abi.format is ModuleFormat.WASM and not wasm.startswith(BYTECODE):
        raise ConfigError(
            f"{what}: {module.path} is no bytecode and no script (.js); a device takes what wat2wasm or a compiler made"
        )
    return wasm, abi


def _deployed(release: Release, state: str) -> Deployed:
    return Deployed(release.name, release.version, release.sha256, release.abi, release.limits, state)
