"""An update repository, as its operator handles it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tuf.api.metadata import Metadata, TargetFile

from waspi.errors import EnvelopeError, RepositoryError, UsageError
from waspi.fleet.repository import root_change
from waspi.fleet.repository.contents import HASH, Contents, contents_of, write_target
from waspi.fleet.repository.draft import Draft
from waspi.fleet.repository.key_ring import KeyRing, Role
from waspi.fleet.repository.lock import locked
from waspi.fleet.repository.metadata_store import MetadataStore
from waspi.fleet.repository.publication import Published, Publisher
from waspi.fleet.repository.root_change import RootChange
from waspi.fleet.repository.settings import FILE, PUBLIC_MODE, Lifetimes, RepositorySettings
from waspi.fleet.repository.status import RepositoryStatus, status_of
from waspi.model.deployment import Deployment, DeploymentEntry
from waspi.model.release import Release
from waspi.protocol.deployment_document import encode_deployment
from waspi.protocol.release_custom import custom_of
from waspi.protocol.repository_path import METADATA, module_target

DEFAULT_ROOT_KEYS = 3
DEFAULT_THRESHOLD = 2
_MOST_ROOT_KEYS = 16
_ALL = 100


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Repository:
    """A folder that devices are served from, and the keys that sign it.

    Every change goes into a draft; :meth:`publish` signs it. Methods raise :class:`RepositoryError` for what is wrong
    with the repository, :class:`KeyFileError` for keys that are not at hand and :class:`StorageError` for the disk.
    ``clock`` gives the time by which metadata expires.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keys: Path | None = None,
        extra_keys: Iterable[Path] = (),
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.folder = folder
        self._settings = RepositorySettings.load(folder)
        self.keys_folder = keys or self._settings.keys
        self._extra = tuple(extra_keys)
        self._clock = clock
        self._store = MetadataStore(folder)

    @classmethod
    def init(
        cls,
        folder: Path,
        keys: Path,
        *,
        root_keys: int = DEFAULT_ROOT_KEYS,
        threshold: int = DEFAULT_THRESHOLD,
        lifetimes: Lifetimes | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> Self:
        """Make a repository in ``folder`` and its keys in ``keys``, which must not lie within it."""
        if not 1 <= threshold <= root_keys <= _MOST_ROOT_KEYS:
            raise UsageError(f"{root_keys} root keys and a threshold of {threshold} do not go together")
        keys = keys.resolve()
        if keys.is_relative_to(folder.resolve()):
            raise UsageError(f"the keys' folder {keys} lies within the repository, which everybody may read")
        if (folder / FILE).exists() or (folder / METADATA).exists():
            raise RepositoryError(f"{folder} holds a repository already")
        (folder / METADATA).mkdir(mode=0o755, parents=True, exist_ok=True)
        settings = RepositorySettings(keys, lifetimes or Lifetimes())
        with locked(folder):
            ring, store, now = KeyRing(keys), MetadataStore(folder), clock()
            holders = [ring.create(Role.ROOT).public_key for _ in range(root_keys)]
            root = Metadata(root_change.first_root(ring, holders, threshold, settings.lifetimes, now))
            root_change.sign(root, None, ring)
            store.write(Role.ROOT, 1, root)
            Publisher(folder, store, ring, settings.lifetimes).begin(root.signed, now)
            settings.save(folder)  # last: without it there is no repository, and init may be run again
        return cls(folder, clock=clock)

    def contents(self) -> Contents:
        """Releases and deployments, those of the draft included."""
        return contents_of(self.folder, self._store.load().targets.signed, Draft.load(self.folder))

    def published(self) -> Contents:
        """Releases and deployments that devices can see."""
        return contents_of(self.folder, self._store.load().targets.signed, Draft())

    def status(self) -> RepositoryStatus:
        """What is published, what is not, and what needs the operator."""
        loaded = self._store.load()
        pending = root_change.load_pending(self.folder)
        return status_of(
            loaded,
            contents_of(self.folder, loaded.targets.signed, Draft.load(self.folder)),
            Draft.load(self.folder),
            KeyRing(self.keys_folder, self._extra),
            None if pending is None else root_change.sign(pending, loaded.root.signed, None),
            self._clock(),
        )

    def add(self, release: Release, wasm: bytes) -> None:
        """Take a release that :func:`waspi.fleet.repository.inspection.inspect` made into the draft.

        A version that was published keeps its bytes for ever: devices and their last good copies rely on it.
        """
        target = module_target(release.name, release.version)
        try:
            entry = TargetFile.from_data(target, wasm, [HASH])
            entry.unrecognized_fields["custom"] = custom_of(release)
        except EnvelopeError as error:
            raise UsageError(error.message) from error
        with self._locked():
            before = self._store.load().targets.signed.targets.get(target)
            if before is not None and before != entry:
                raise RepositoryError(f"{release.label} was published with other contents; give it another version")
            draft = Draft.load(self.folder)
            write_target(self.folder, target, wasm, PUBLIC_MODE)
            draft.removed.discard(target)
            if before is None:
                draft.modules[target] = entry
            draft.save(self.folder)

    def remove(self, name: str, version: str) -> None:
        """Have the next publication no longer offer a release that no deployment names."""
        with self._locked():
            contents = self.contents()
            contents.release(name, version)
            groups = contents.users_of(name, version)
            if groups:
                raise RepositoryError(f"{name}@{version} is deployed to {', '.join(groups)}; deploy another one first")
            draft = Draft.load(self.folder)
            target = module_target(name, version)
            draft.modules.pop(target, None)
            if target in self._store.load().targets.signed.targets:
                draft.removed.add(target)
            draft.save(self.folder)

    def deploy(
        self, group: str, name: str, version: str, *, stage: float = 100.0, base: str | None = None, retry: bool = False
    ) -> Deployment:
        """Name the release that ``stage`` per cent of ``group`` shall run, in the draft.

        ``base``, the version that the others run, is by default the one that all ran before. ``retry``: devices that
        gave this version up try it once more.
        """
        with self._locked():
            contents = self.contents()
            contents.release(name, version)
            before = contents.deployments.get(group) or Deployment(group, 0)
            held = before.entry(name)
            if base is not None:
                contents.release(name, base)
            elif held is not None:
                base = held.version if held.version != version and held.stage == _ALL else held.base
            base = None if base == version else base
            retries = held.retry if held is not None and held.version == version else 0
            return self._put(before, DeploymentEntry(name, version, stage, base, retries + retry))

    def put(self, group: str, entry: DeploymentEntry) -> Deployment:
        """Have ``group``'s deployment say exactly ``entry`` of its module, in the draft."""
        with self._locked():
            contents = self.contents()
            contents.release(entry.name, entry.version)
            if entry.base is not None:
                contents.release(entry.name, entry.base)
            return self._put(contents.deployments.get(group) or Deployment(group, 0), entry)

    def undeploy(self, group: str, name: str) -> Deployment:
        """Have ``group`` no longer run module ``name``, in the draft."""
        with self._locked():
            before = self.contents().deployments.get(group)
            if before is None or before.entry(name) is None:
                raise RepositoryError(f"the deployment of {group} does not name {name}; see waspi repo status")
            return self._put(before, None, without=name)

    def publish(self) -> Published:
        """Sign the draft, what expires soon, and in any case a new timestamp."""
        with self._locked():
            draft = Draft.load(self.folder)
            published = self._publisher().publish(self._store.load(), draft, self._clock())
            Draft().save(self.folder)
            return published

    def rotate(self, role: Role, *, replaced: str | None = None, threshold: int | None = None) -> RootChange:
        """Make a new root in which a new key stands for the ``replaced`` one (file id or key id) of ``role``.

        ``replaced`` may be left out when the role has one key. Signed with the root keys at hand; when they are not
        enough it waits for :meth:`sign_root`.
        """
        with self._locked():
            current = self._store.load()
            keys = KeyRing(self.keys_folder, self._extra)
            pending = root_change.load_pending(self.folder)
            root = deepcopy(pending or current.root)
            root.signed.version = current.root.signed.version + 1
            root.signed.expires = self._settings.lifetimes.expiry(Role.ROOT, self._clock())
            root.signatures.clear()
            if replaced is not None or role is not Role.ROOT or threshold is None:
                old = _chosen_key(keys, role, root.signed.get_delegated_role(role).keyids, replaced)
                root_change.replace_key(root.signed, role, old, keys.create(role).public_key)
            if threshold is not None:
                root_change.set_root_threshold(root.signed, threshold)
            return self._sign_root(root, keys)

    def sign_root(self) -> RootChange:
        """Add the signatures of the root keys at hand to the root that waits; publish it when they are enough."""
        with self._locked():
            pending = root_change.load_pending(self.folder)
            if pending is None:
                raise RepositoryError("no root waits for signatures; waspi repo rotate makes one")
            return self._sign_root(pending, KeyRing(self.keys_folder, self._extra))

    def root_bytes(self) -> bytes:
        """The first root, which devices are given with their configuration: trust begins there."""
        return (self.folder / METADATA / "1.root.json").read_bytes()

    def _sign_root(self, root: Metadata, keys: KeyRing) -> RootChange:  # type: ignore[type-arg] # only ever a Root's
        current = self._store.load()
        change = root_change.sign(root, current.root.signed, keys)
        if change.missing:
            root_change.save_pending(self.folder, root)
            return change
        # The roles' own metadata is signed by the new keys right after; a crash in between is mended by publish().
        self._store.write(Role.ROOT, root.signed.version, root)
        root_change.drop_pending(self.folder)
        self._publisher().publish(self._store.load(), Draft(), self._clock())
        return change

    def _put(self, before: Deployment, entry: DeploymentEntry | None, *, without: str = "") -> Deployment:
        entries = [each for each in before.entries if each.name != (entry.name if entry else without)]
        entries += [entry] if entry else []
        draft = Draft.load(self.folder)
        published = self.published().deployments.get(before.group)
        serial = (published.serial if published else 0) + 1
        deployment = replace(before, serial=serial, entries=tuple(sorted(entries, key=lambda each: each.name)))
        try:
            encode_deployment(deployment)
        except EnvelopeError as error:
            raise UsageError(error.message) from error
        draft.deployments[before.group] = deployment
        draft.save(self.folder)
        return deployment

    def _publisher(self) -> Publisher:
        keys = KeyRing(self.keys_folder, self._extra)
        return Publisher(self.folder, self._store, keys, self._settings.lifetimes)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder)


def _chosen_key(keys: KeyRing, role: Role, held: list[str], wanted: str | None) -> str:
    if wanted is None and len(held) == 1:
        return held[0]
    names = {keys.name_of(key_id): key_id for key_id in held}
    if wanted in names:
        return names[wanted]
    if wanted in held:
        return str(wanted)
    raise UsageError(f"which {role} key shall go? name one of {', '.join(sorted(names))} with --replace")
