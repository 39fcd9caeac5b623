from __future__ import annotations

import base64
import tomllib
from pathlib import Path

import pytest

from waspi.errors import KeyFileError, TopicError
from waspi.fleet.key_file import KeyFile
from waspi.protocol.cose import public_key


def test_new_key_is_private_and_its_lines_trust_it(tmp_path: Path) -> None:
    key = KeyFile.create(tmp_path / "keys", "ops")
    assert key.path.stat().st_mode & 0o777 == 0o600
    (entry,) = tomllib.loads(key.toml())["policy"]["keys"]
    assert entry["id"] == "ops"
    assert base64.b64decode(entry["public_key"]) == public_key(key.seed()) == key.public_bytes()
    alone = KeyFile.find(tmp_path, str(tmp_path / "keys" / "ops.pub"))
    assert (alone.private, alone.public_bytes()) == (False, key.public_bytes())


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    before = KeyFile.create(tmp_path, "ops").seed()
    with pytest.raises(KeyFileError, match=r"ops\.key exists"):
        KeyFile.create(tmp_path, "ops")
    assert KeyFile.find(tmp_path, "ops").seed() == before


def test_a_key_beside_a_public_one_of_that_id_is_not_made(tmp_path: Path) -> None:
    """It would be found instead of the public key that is there, and sign what no device trusts."""
    KeyFile.create(tmp_path / "elsewhere", "ops").path.with_suffix(".pub").rename(tmp_path / "ops.pub")
    before = (tmp_path / "ops.pub").read_bytes()
    with pytest.raises(KeyFileError, match=r"ops\.pub exists"):
        KeyFile.create(tmp_path, "ops")
    assert [path.name for path in tmp_path.glob("ops.*")] == ["ops.pub"]
    assert (tmp_path / "ops.pub").read_bytes() == before


def test_key_that_others_may_read_does_not_sign(tmp_path: Path) -> None:
    key = KeyFile.create(tmp_path, "ops")
    key.path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        key.seed()


@pytest.mark.parametrize("content", [b"", b"prose", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_file_that_is_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"bad\.key"):
        KeyFile.find(tmp_path, "bad").seed()
    with pytest.raises(KeyFileError, match=r"bad\.key"):
        KeyFile.find(tmp_path, "bad").public_bytes()


def test_unknown_key_and_wrong_id(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="'nobody'"):
        KeyFile.find(tmp_path, "nobody")
    with pytest.raises(TopicError):
        KeyFile.create(tmp_path, "../ops")
    assert KeyFile.all(tmp_path / "none") == []
