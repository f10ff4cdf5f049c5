"""Tokens with names and roles: what a file of them may hold, and who then may do what."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from appid_manager_client import ConfigurationError
from appid_manager_client.server.tokens import (
    ANYBODY,
    OWN_NAME,
    Identity,
    Role,
    Tokens,
    file_line,
    new_token,
)


def write(path: Path, *lines: str, mode: int = 0o600) -> str:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def name_of(tokens: Tokens, sent: bytes) -> tuple[str | None, Role] | None:
    found = tokens.identify(sent)
    return None if found is None else (found.name, found.role)


def test_tokens_of_both_kinds_are_known_by_name(file: Path) -> None:
    digest = hashlib.sha256(b"b" * 40).hexdigest()
    path = write(
        file, "# who", "", "ci use plain-one", f"  grafana\tread sha256:{digest.upper()}  "
    )
    tokens = Tokens("own", path)
    assert name_of(tokens, b"own") == (OWN_NAME, Role.ADMIN)
    assert name_of(tokens, b"plain-one") == ("ci", Role.USE)
    assert name_of(tokens, b"b" * 40) == ("grafana", Role.READ)
    for wrong in (b"", b"plain", b"plain-one ", digest.encode(), f"sha256:{digest}".encode()):
        assert tokens.identify(wrong) is None


def test_a_made_token_fits_its_line(file: Path) -> None:
    made = new_token()
    line = file_line("ci", Role.USE, made)
    assert made.encode("ascii").decode() not in line
    assert name_of(Tokens(None, write(file, line)), made.encode("ascii")) == ("ci", Role.USE)


def test_without_tokens_nobody_needs_one() -> None:
    assert not Tokens(None).required
    assert ANYBODY == Identity(None, Role.ADMIN)


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        (["ci use"], 1, "NAME ROLE TOKEN, and has 2 parts"),
        (["# x", "ci use secret more"], 2, "has 4 parts"),
        (["ok read x", "", "ci root secret"], 3, "the role must be read, use, admin"),
        (["c\u00ed use secret"], 1, "the name must be"),
        (["-ci use secret"], 1, "the name must be"),
        ([f"{'n' * 65} use secret"], 1, "the name must be"),
        (["ci use sha256:abc"], 1, "64 hexadecimal digits"),
        (["ci use s\u00e9cret"], 1, "printable ASCII"),
        (["ci use secret", "ci read other"], 2, "line 1 has it"),
        (["ci use secret", "ops read secret"], 2, "another name has this token"),
        (["token use secret"], 1, "that of --token"),
        (["ops use own"], 1, "another name has this token"),
    ],
)
def test_a_bad_line_is_named_and_never_shown(
    file: Path, lines: list[str], line: int, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"line {line}: .*{problem}") as caught:
        Tokens("own", write(file, *lines))
    assert caught.value.setting == "tokens_file"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_file_that_is_open_to_everybody_is_refused(file: Path, mode: int) -> None:
    with pytest.raises(ConfigurationError, match="chmod o-rwx"):
        Tokens(None, write(file, "ci use secret", mode=mode))


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640, 0o660])
def test_a_file_for_a_group_is_fine(file: Path, mode: int) -> None:
    assert Tokens(None, write(file, "ci use secret", mode=mode)).required


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no token"),
        (b"# none\n", "has no token"),
        (b"ci use x\n\xff\xfe", "line 2: is no"),
    ],
)
def test_a_file_without_a_token_would_lock_everybody_out(
    file: Path, content: bytes, problem: str
) -> None:
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=problem):
        Tokens(None, str(file))


def test_a_file_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read: No such file"):
        Tokens(None, str(tmp_path / "nothing"))


def test_the_file_is_read_again_and_a_bad_one_changes_nothing(file: Path) -> None:
    tokens = Tokens(None, write(file, "ci use first"))
    write(file, "ci use second", "ops admin third")
    assert tokens.reload() == 2
    assert tokens.identify(b"first") is None
    write(file, "ci use")
    with pytest.raises(ConfigurationError):
        tokens.reload()
    assert name_of(tokens, b"second") == ("ci", Role.USE)


def test_a_token_is_found_by_its_name(file: Path) -> None:
    tokens = Tokens("own", write(file, "ci use first"))
    assert tokens.find("ci") == tokens.identify(b"first")
    assert tokens.find(OWN_NAME) == tokens.identify(b"own")
    assert tokens.find("gone") is None


@pytest.mark.parametrize("name", ["", "a b", "token", "x" * 65, "\u00fc", "a\nb", "../x"])
def test_a_name_that_no_file_takes_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="the name must be"):
        file_line(name, Role.USE, new_token())
