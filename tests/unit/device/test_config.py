"""The table of configuration keys: what the reader takes, what the example shows and what the page says is the same."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from waspi.cli.config_example import example, reference
from waspi.device.config import load, read
from waspi.device.config_key import Key, Section
from waspi.device.settings import CONFIG, BrokerConfig, Config, JournalConfig, PolicyConfig, QueueConfig
from waspi.errors import ConfigError
from waspi.journal.quotas import Quotas
from waspi.mqtt.settings import LinkSettings
from waspi.protocol.policy import Policy

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "CONFIGURATION.md"
KEY = f'[[policy.keys]]\nid = "ops"\npublic_key = "{"A" * 43}="\n'


def configuration(folder: Path, text: str) -> Config:
    file = folder / "device.toml"
    file.write_text(text)
    return load(file)


def keys(section: Section[object], path: str = "") -> Iterator[tuple[str, Key]]:
    for key in section.keys.values():
        name = f"{path}{key.name}"
        yield name, key
        if key.section is not None:
            yield from keys(key.section, f"{name}.")


def taken_in(text: str) -> str:
    """The example with everything that is commented out."""
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        is_key = line.startswith("# ") and (bare.startswith("[") or " = " in bare.split("#")[0])
        lines.append(bare if is_key else line)
    return "\n".join(lines)


def test_the_example_is_the_default_configuration(tmp_path: Path) -> None:
    assert configuration(tmp_path, example()) == configuration(tmp_path, "")


def test_the_example_without_any_one_line_is_still_a_configuration(tmp_path: Path) -> None:
    lines = example().splitlines()
    for number, line in enumerate(lines):
        if " = " in line:
            configuration(tmp_path, "\n".join(lines[:number] + lines[number + 1 :]))


def test_the_example_shows_every_key_and_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "broker.password").write_text("secret\n")
    text = taken_in(example()).replace("<32 bytes in base64>", "A" * 43 + "=")
    shown = tomllib.loads(text)
    for name, _ in keys(CONFIG):
        there: object = shown
        for part in name.replace("modules.", "modules.append.").split("."):
            there = there[0] if isinstance(there, list) else there
            assert isinstance(there, dict), name
            assert part in there, name
            there = there[part]
    config = configuration(
        tmp_path, "\n".join(line for line in text.splitlines() if not line.startswith("password = "))
    )
    assert (config.id, config.broker.username, config.broker.password) == ("pi-7", "pi-7", "secret")
    assert config.policy.keys[0].groups == frozenset({"kitchen"})
    assert (config.modules[0].name, config.modules[0].limits.memory_bytes) == ("append", 16 * 1024 * 1024)
    assert config.updates is not None
    assert config.updates.schedule.interval_s == 3600
    assert dict(CONFIG.files(config)) == {
        "broker.password_file": tmp_path / "broker.password",
        "broker.tls.ca": tmp_path / "ca.crt",
        "broker.tls.certificate": tmp_path / "pi-7.crt",
        "broker.tls.key": tmp_path / "pi-7.key",
        "updates.root": tmp_path / "1.root.json",
        "updates.ca": tmp_path / "web-ca.crt",
        "modules.append.path": Path("/usr/share/waspi/append.wasm"),
        "modules.append.abi": tmp_path / "append.toml",
    }


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == reference(), "run: make docs"


def test_every_key_has_a_purpose() -> None:
    assert [name for name, key in keys(CONFIG) if key.section is None and not key.comment] == []


def test_a_default_stands_once() -> None:
    """What the layers below take by themselves is what a device has that was told nothing."""
    told_nothing = read({}, Path())
    assert told_nothing.broker.receive_maximum == LinkSettings(told_nothing.broker.address, "x").receive_maximum == 32
    assert (told_nothing.policy.jobs, told_nothing.policy.inline_modules) == ("any", "allow")
    fields = Policy.__dataclass_fields__
    assert (fields["jobs"].default, fields["inline"].default) == ("any", "allow")
    quotas = Quotas()
    journal = told_nothing.journal
    assert (journal.max_jobs, journal.retention_s) == (quotas.jobs, quotas.retention_s) == (100_000, 7 * 86_400)
    assert (told_nothing.queue.max_jobs, told_nothing.queue.max_bytes) == (quotas.inbox_jobs, quotas.inbox_bytes)
    assert told_nothing.broker == BrokerConfig()
    assert (told_nothing.policy, told_nothing.queue, journal) == (PolicyConfig(), QueueConfig(), JournalConfig())
    assert read({"journal": {}, "broker": {"tls": {}}}, Path()) == told_nothing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[device]\nid = 'Pi 7'\n", "device.id: expected 1 to 63 of a-z, 0-9 and '-', not 'Pi 7'"),
        ("[device]\ngroups = ['a', 'b/c']\n", "device.groups: expected list of ids, not"),
        ("[device]\nlabels = 'x'\n", r"device.labels: expected a table: \[device.labels\]"),
        ("[device.labels]\nsite = 3\n", "device.labels.site: expected text, not 3"),
        ("[broker]\nurl = 'http://x'\n", "broker.url: .*expected mqtt://"),
        ("[broker]\nurI = 'mqtt://x'\n", "broker.urI: unknown key; did you mean url?"),
        ("[broker]\nkeepalive_s = 4\n", "broker.keepalive_s: expected whole number from 5 to 3600, not 4"),
        ("[broker]\nkeepalive_s = true\n", "broker.keepalive_s: expected whole number"),
        ("[broker]\npassword_file = 'gone'\n", "broker.password_file: cannot read .*gone"),
        ("[broker]\npassword = 'x'\npassword_file = 'y'\n", "broker.password: there is a password_file as well"),
        ("[broker]\npassword = 1234\n", "broker.password: expected text$"),
        ("[broker.tls]\nkey = 'k'\n", "broker.tls.key: certificate and key go together"),
        ("[queue]\nidle_s = 'long'\n", "queue.idle_s: expected number from 0 to 86400, not 'long'"),
        ("[journal]\nsync = 'some'\n", 'journal.sync: expected "full" or "off", not \'some\''),
        ("[policy]\nrequire = ['force-field']\n", "policy.require: unknown: 'force-field'; known: seccomp"),
        ("[policy]\njobs = 'signed'\n", "policy.keys: .*waspi keys new"),
        ("[[policy.keys]]\nid = 'ops'\npublic_kee = 'x'\n", r"policy.keys\[0\].public_kee: unknown key; did you mean"),
        (
            "[[policy.keys]]\nid = 'ops'\npublic_key = 'x!'\n",
            r"policy.keys\[0\].public_key: expected 32 bytes in base64",
        ),
        (f"{KEY}groups = []\n", r"policy.keys\[0\].groups: expected list of groups, not empty"),
        (f"{KEY}roles = ['root']\n", r"policy.keys\[0\].roles: expected list of roles"),
        ("[modules.append]\nversion = '1'\n", "modules.append.path: missing: its bytecode, or"),
        ("[modules.'A b']\npath = 'x'\n", "modules.A b: expected a name of 1 to 63"),
        ("[modules.append]\npath = 'x'\n[modules.append.limits]\nfuel = 0\n", "modules.append.limits.fuel: expected"),
        ("[updates]\nurl = 'https://x'\n", "updates.root: missing: the repository's first root metadata"),
        ("[updates]\nroot = 'r'\nurl = 'ftp://x'\n", "updates.url: expected https://"),
        ("[cache]\nmax_mb = 3\n", "cache.max_mb: unknown key; did you mean max_mib?"),
        ("[cach]\n", "cach: unknown key; did you mean cache?"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        configuration(tmp_path, text)
    assert str(tmp_path / "device.toml") in caught.value.message
