"""``waspi repo``: the signed update repository."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.abi_description import abi_for_file
from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.guest_options import AbiOption, EntryOption, abi_of
from waspi.cli.json_option import JsonOption
from waspi.cli.repo_options import KeysOption, RepoOption, SigningKeysOption, percent, release_named, wasm_of
from waspi.cli.repo_report import json_of_deployment, json_of_status, write_status
from waspi.fleet.repository.inspection import inspect
from waspi.fleet.repository.key_ring import Role
from waspi.fleet.repository.release_files import load_golden, load_limits
from waspi.fleet.repository.repository import DEFAULT_ROOT_KEYS, DEFAULT_THRESHOLD, Repository
from waspi.fleet.repository.root_change import RootChange
from waspi.fleet.repository.settings import Lifetimes
from waspi.fleet.user_folder import keys_folder
from waspi.model.abi import DEFAULT_ABI

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Make, fill and sign the repository from which devices update their modules.",
)

_LIFETIMES = Lifetimes()
DaysOption = Annotated[int, typer.Option(min=1, max=3650, metavar="DAYS", rich_help_panel="Lifetimes")]


@app.command(epilog=examples("waspi repo init ./releases", "waspi repo init ./releases --root-keys 5 --threshold 3"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make it in; it will be public.")],
    *,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="DIR", help="Folder for its private keys; by default a new one of that name."),
    ] = None,
    root_keys: Annotated[int, typer.Option("--root-keys", min=1, max=16, help="Root keys.")] = DEFAULT_ROOT_KEYS,
    threshold: Annotated[
        int, typer.Option("--threshold", min=1, max=16, help="Of them sign a new root.")
    ] = DEFAULT_THRESHOLD,
    root_days: DaysOption = _LIFETIMES.root,
    targets_days: DaysOption = _LIFETIMES.targets,
    snapshot_days: DaysOption = _LIFETIMES.snapshot,
    timestamp_days: DaysOption = _LIFETIMES.timestamp,
    as_json: JsonOption = False,
) -> int:
    """Make a repository and its keys.

    Standard output is the path of the first root, which devices get with their configuration: their trust begins
    there. Then take the root keys offline.
    """
    lifetimes = Lifetimes(root_days, targets_days, snapshot_days, timestamp_days)
    repository = Repository.init(
        folder,
        keys or keys_folder() / folder.resolve().name,
        root_keys=root_keys,
        threshold=threshold,
        lifetimes=lifetimes,
    )
    where = repository.keys_folder
    note(f"keys in {where}: move root-*.key to offline media, one to each; {threshold} of {root_keys} sign a new root")
    note(f"sign anew within {timestamp_days} days, and so on, with: waspi repo publish --repo {folder}")
    first = str(repository.folder / "metadata" / "1.root.json")
    if as_json:
        write_json({"root": first, "keys": str(where), "root_keys": root_keys, "threshold": threshold})
    else:
        write_line(first)
    return ExitCode.OK


@app.command(
    epilog=examples(
        "waspi repo add append.wasm --name append --version 1.0.0 --golden append.golden.toml --repo ./releases"
    )
)
def add(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="The module's file: bytecode, text or a script.")],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name by which jobs ask for it.")],
    version: Annotated[str, typer.Option("--version", metavar="V", help="Version; its bytes are then fixed.")],
    repo: RepoOption,
    abi: AbiOption = None,
    entry: EntryOption = None,
    golden: Annotated[Path | None, typer.Option("--golden", metavar="FILE", help="Golden pairs (TOML).")] = None,
    limits: Annotated[Path | None, typer.Option("--limits", metavar="FILE", help="Limits of a run (TOML).")] = None,
    as_json: JsonOption = False,
) -> int:
    """Check MODULE as a device will, strip its debug information and take it into the draft.

    Bounds, ABI and golden pairs are checked; a module that fails is not added (exit code 1).
    """
    wasm = wasm_of(module)
    release, stripped = inspect(
        wasm,
        name,
        version,
        abi=abi_for_file(abi_of(abi, entry), module.name) or DEFAULT_ABI,
        limits=load_limits(limits),
        golden=load_golden(golden),
    )
    Repository(repo).add(release, stripped)
    if not release.golden:
        note("no golden pairs: devices cannot test it before it serves; record some with: waspi golden record")
    if as_json:
        write_json(
            {"release": release.label, "sha256": release.sha256, "bytes": len(stripped), "from_bytes": len(wasm)}
        )
    else:
        write_line(f"{release.label} sha256:{release.sha256} {len(stripped)} bytes (of {len(wasm)})")
    return ExitCode.OK


@app.command(
    epilog=examples(
        "waspi repo deploy stats@1.2.0 --group kitchen --stage 10%",
        "waspi repo deploy stats@1.2.0 --group kitchen --retry",
    )
)
def deploy(
    release: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="What to deploy.")],
    *,
    group: Annotated[str, typer.Option("--group", metavar="ID", help="Group whose devices shall run it.")],
    repo: RepoOption,
    stage: Annotated[str, typer.Option("--stage", metavar="PERCENT", help="Share of the devices.")] = "100%",
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="V", help="Version of the other devices; by default the one before."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Have devices on which it failed try it once more.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Name the version that a group's devices shall run, in the draft; waspi repo publish makes it so.

    A lower version is deployed the same way.
    """
    name, version = release_named(release)
    deployment = Repository(repo).deploy(group, name, version, stage=percent(stage), base=base, retry=retry)
    entry = deployment.entry(name)
    others = f", the others {entry.base}" if entry is not None and entry.base and entry.stage < 100 else ""  # noqa: PLR2004
    note(f"{group}, serial {deployment.serial}: {name}@{version} on {percent(stage):g}%{others}; not published yet")
    if as_json:
        write_json(json_of_deployment(group, deployment))
    return ExitCode.OK


@app.command(epilog=examples("waspi repo undeploy stats --group kitchen"))
def undeploy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Module that the devices shall no longer have.")],
    *,
    group: Annotated[str, typer.Option("--group", metavar="ID", help="Group whose devices shall drop it.")],
    repo: RepoOption,
    as_json: JsonOption = False,
) -> int:
    """Take a module out of a group's deployment, in the draft."""
    deployment = Repository(repo).undeploy(group, name)
    note(f"{group}, serial {deployment.serial}: no {name}; not published yet")
    if as_json:
        write_json(json_of_deployment(group, deployment))
    return ExitCode.OK


@app.command(epilog=examples("waspi repo remove stats@1.0.0"))
def remove(
    release: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A release that no group runs.")],
    *,
    repo: RepoOption,
    as_json: JsonOption = False,
) -> int:
    """No longer offer a release, in the draft: every device reads the list of all of them."""
    name, version = release_named(release)
    Repository(repo).remove(name, version)
    note(f"{release} goes with the next publication")
    if as_json:
        write_json({"removed": f"{name}@{version}"})
    return ExitCode.OK


@app.command(
    epilog=examples("waspi repo publish --repo ./releases", "0 4 * * 1  waspi repo publish --repo /srv/releases")
)
def publish(
    *,
    repo: RepoOption,
    keys: KeysOption = None,
    as_json: JsonOption = False,
) -> int:
    """Sign the draft and everything that would soon expire. Without a draft it renews the signatures: run it weekly."""
    published = Repository(repo, keys=keys).publish()
    if as_json:
        write_json(
            {
                "timestamp": published.timestamp,
                "snapshot": published.snapshot,
                "targets": published.targets,
                "deployments": published.deployments,
            }
        )
    else:
        write_line(
            f"timestamp {published.timestamp}, snapshot {published.snapshot}, targets {published.targets}"
            + "".join(f", {group} serial {serial}" for group, serial in sorted(published.deployments.items()))
        )
    return ExitCode.OK


@app.command(
    epilog=examples(
        "waspi repo rotate --role timestamp --key /media/stick-1/root-1.key --key /media/stick-2/root-2.key",
        "waspi repo rotate --role root --replace root-1 --key /media/stick-2/root-2.key",
        "waspi repo rotate --role root --threshold 2 --key /media/stick-1/root-1.key     # same keys, another year",
    )
)
def rotate(
    *,
    repo: RepoOption,
    role: Annotated[Role, typer.Option("--role", help="Role whose key is replaced by a new one.")],
    replace: Annotated[
        str | None, typer.Option("--replace", metavar="KEY", help="Which key, when the role has several.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", min=1, max=16, help="Also change how many root keys sign.")
    ] = None,
    keys: KeysOption = None,
    signing: SigningKeysOption = None,
    as_json: JsonOption = False,
) -> int:
    """Replace a key: one that is lost, leaked or old. A new root says so, signed by the root keys at hand."""
    repository = Repository(repo, keys=keys, extra_keys=signing or ())
    _tell(repository.rotate(role, replaced=replace, threshold=threshold), as_json=as_json)
    if role is Role.ROOT and replace is not None:
        note(f"the new root key is in {repository.keys_folder}: move it to offline media")
    return ExitCode.OK


@app.command(epilog=examples("waspi repo sign --key /media/stick-2/root-2.key"))
def sign(
    *, repo: RepoOption, keys: KeysOption = None, signing: SigningKeysOption = None, as_json: JsonOption = False
) -> int:
    """Add a root key's signature to the new root that waits for it."""
    _tell(Repository(repo, keys=keys, extra_keys=signing or ()).sign_root(), as_json=as_json)
    return ExitCode.OK


@app.command(epilog=examples("waspi repo status --repo ./releases"))
def status(
    *,
    repo: RepoOption,
    keys: KeysOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show releases, deployments, what is not published, and how long the signatures hold."""
    stands = Repository(repo, keys=keys).status()
    if as_json:
        write_json(json_of_status(stands))
    else:
        write_status(stands)
    return ExitCode.OK


def _tell(change: RootChange, *, as_json: bool) -> None:
    version = change.metadata.signed.version
    if change.missing:
        wanted = "one more signature" if change.missing == 1 else f"{change.missing} more signatures"
        note(f"root {version} waits for {wanted}; add it with: waspi repo sign --key FILE")
    else:
        note(f"root {version} is published, and what the replaced keys had signed is signed anew")
    if as_json:
        write_json({"root": version, "missing_signatures": change.missing})
