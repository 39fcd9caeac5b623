"""`waspi profile` writes what the other commands read, and leaves alone what is there."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cli.command import waspi
from waspi.cli.profile import Profile
from waspi.mqtt.settings import Tls


def test_profiles_are_added_beside_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "waspi" / "profiles.toml"
    first = waspi("profile", "add", "home", "--broker", "mqtt://127.0.0.1", home=tmp_path)
    assert (first.code, first.text) == (0, f"{file}: profile home\n")
    assert file.read_text() == 'default = "home"\n\n[profiles.home]\nbroker = "mqtt://127.0.0.1"\n'
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("# mine\n" + file.read_text())
    for name in ("ca.crt", "ops.crt", "ops.key", "pw"):
        (tmp_path / name).write_text("secret\n")
    files = ["--ca", "ca.crt", "--cert", "ops.crt", "--key", "ops.key", "--password-file", "pw"]
    files = [each if each.startswith("--") else str(tmp_path / each) for each in files]
    more = ["--username", "ops", "--sign", "ops", "--fleet", "farm", *files]
    assert waspi("profile", "add", "farm", "--broker", "mqtts://broker.lan:8884", *more, home=tmp_path).code == 0
    assert Profile.load(file, None).broker == "mqtt://127.0.0.1"
    farm = Profile.load(file, "farm")
    assert (farm.broker, farm.fleet, farm.username, farm.password) == (
        "mqtts://broker.lan:8884",
        "farm",
        "ops",
        "secret",
    )
    assert (farm.sign, farm.tls) == ("ops", Tls(*(tmp_path / name for name in ("ca.crt", "ops.crt", "ops.key"))))
    third = waspi("profile", "add", "lab", "--broker", "mqtt://lab", "--default", home=tmp_path)
    assert third.code == 0, third.err
    assert Profile.load(file, None).name == "lab"
    assert "# mine\n" in file.read_text()
    listed = waspi("profile", "list", "--json", home=tmp_path).document
    assert [(each["name"], each["default"]) for each in listed] == [("home", False), ("farm", False), ("lab", True)]
    assert "* lab" in waspi("profile", "list", home=tmp_path).text


def test_what_is_wrong_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "waspi" / "profiles.toml"
    waspi("profile", "add", "home", "--broker", "mqtt://127.0.0.1", home=tmp_path)
    before = file.read_text()
    for arguments, said in (
        (["home", "--broker", "mqtt://x"], "has a profile home already"),
        (["Home", "--broker", "mqtt://x"], "profile id 'Home' is not allowed"),
        (["a", "--broker", "http://x"], "expected mqtt://"),
        (["a", "--broker", "mqtt://u:sesame@x"], "--password-file"),
        (["a", "--broker", "mqtt://x", "--cert", "c"], "--cert and --key go together"),
        (["a", "--broker", "mqtt://x", "--ca", "/nowhere/ca"], "there is no file /nowhere/ca"),
    ):
        done = waspi("profile", "add", *arguments, home=tmp_path)
        assert done.code == 2, arguments
        assert said in done.error_line
        assert "sesame" not in done.error_line
        assert file.read_text() == before
