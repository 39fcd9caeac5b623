from __future__ import annotations

from pathlib import Path

import pytest

from waspi.abi_description import abi_from
from waspi.cli.profile import Profile
from waspi.errors import ConfigError
from waspi.model.abi import Abi
from waspi.mqtt.settings import Tls


def test_profile_by_name_by_default_and_none(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    assert Profile.load(file, None) == Profile()
    (tmp_path / "pw").write_text("secret\n")
    file.write_text(
        'default = "home"\n'
        '[profiles.home]\nbroker = "mqtt://home"\nusername = "ops"\npassword_file = "pw"\n'
        '[profiles.lab]\nbroker = "mqtts://lab"\nca = "ca.crt"\nfleet = "lab"\n'
    )
    home, lab = Profile.load(file, None), Profile.load(file, "lab")
    assert (home.broker, home.username, home.password) == ("mqtt://home", "ops", "secret")
    assert (lab.fleet, lab.tls) == ("lab", Tls(ca=tmp_path / "ca.crt"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("broker", "not TOML"),
        ('[profiles.home]\nbroken = "x"\n', "profiles.home.broken"),
        ('default = "away"\n', "'away'"),
        ('[profiles.home]\npassword_file = "gone"\n', "password_file"),
        ('colour = "red"\n', "colour"),
    ],
)
def test_wrong_profiles_name_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named) as caught:
        Profile.load(file, "away" if "away" in text else "home")
    assert str(file) in caught.value.message


def test_abi_description_from_toml_at_the_top_or_in_a_table(tmp_path: Path) -> None:
    file = tmp_path / "abi.toml"
    expected = Abi(entry="go", headroom=0, input="utf-8")
    for head in ("", "[abi]\n"):
        file.write_text(f'{head}entry = "go"\nheadroom = 0\ninput = "utf-8"\n')
        assert abi_from(file) == abi_from(str(file)) == expected
    assert abi_from({"entry": "go", "headroom": 0, "input": "utf-8"}) == expected
    assert abi_from(None) == Abi()
    assert abi_from(expected) is expected


@pytest.mark.parametrize(
    ("description", "named"),
    [
        ({"hedroom": 3}, "hedroom"),
        ({"headroom": -1}, "headroom"),
        ({"headroom": True}, "headroom"),
        ({"headroom": 2**31}, "headroom"),
        ({"entry": ""}, "entry"),
        ({"alloc": 7}, "alloc"),
        ({"output": 7}, "output"),
        ("/nowhere/abi.toml", "/nowhere/abi.toml"),
    ],
)
def test_wrong_abi_descriptions_name_the_key(description: dict[str, object] | str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        abi_from(description)
