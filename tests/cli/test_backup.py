"""`appid-manager backup`: one moment of a database that is in use, and no file is lost for it."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.testing import LocalService
from tests.cli.command import Cli, Spawn


@pytest.fixture
def database(spawn: Spawn, tmp_path: Path) -> Iterator[Path]:
    """The database of a running service; `p` has 40 AppIDs."""
    file = tmp_path / "appids.db"
    serving = spawn("serve", "--port", "0", "--database", str(file), "--json")
    url = json.loads(serving.line())["url"]
    with AppIdClient(url) as client:
        client.init_product("p", {f"a{number}": number for number in range(40)})
        stop = threading.Event()
        busy = threading.Thread(target=keep_busy, args=(client, stop))
        busy.start()
        yield file
        stop.set()
        busy.join()


def keep_busy(client: AppIdClient, stop: threading.Event) -> None:
    """Acquire and release by force, again and again."""
    while not stop.is_set():
        appid = client.acquire_appid("p", force=True).appid
        client.release_appid(appid, "p")


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


def test_the_copy_is_whole_while_the_service_grants(
    cli: Cli, database: Path, tmp_path: Path
) -> None:
    for number in range(5):
        copy = tmp_path / f"copy-{number}.db"
        ran = cli("backup", str(copy), "--database", str(database))
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == f"copied {database} to {copy} ({copy.stat().st_size} bytes)\n"
        assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
        held = rows(copy, "SELECT appid FROM appids WHERE held")
        assert held == rows(copy, "SELECT appid FROM leases WHERE stop IS NULL")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == [
        f"copy-{number}.db" for number in range(5)
    ]


def test_a_service_can_run_on_the_copy(cli: Cli, tmp_path: Path, spawn: Spawn) -> None:
    with (
        LocalService(database=tmp_path / "source.db") as service,
        AppIdClient(service.url) as client,
    ):
        client.init_product("p", {"a1": "v1"})
        client.acquire_appid("p")
        source = tmp_path / "source.db"
        copy = tmp_path / "copy.db"
        ran = cli("backup", str(copy), "--database", f"sqlite:///{source}", "--json")
        assert json.loads(ran.out) == {
            "database": str(source),
            "file": str(copy),
            "bytes": copy.stat().st_size,
        }
    serving = spawn("serve", "--port", "0", "--database", str(copy), "--json")
    with AppIdClient(json.loads(serving.line())["url"]) as client:
        assert client.get_status("p")["appids"][0]["status"] == "in_use"


@pytest.mark.parametrize("what", ["file", "link"])
def test_a_file_that_exists_is_not_overwritten(
    cli: Cli, database: Path, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "copy.db"
    if what == "file":
        file.write_text("precious")
    else:
        file.symlink_to(tmp_path / "nowhere")
    ran = cli("backup", str(file), "--database", str(database))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"appid-manager: FILE: {file} exists already, and is not overwritten\n"
    assert what == "link" or file.read_text() == "precious"


def test_a_database_is_never_its_own_backup(cli: Cli, database: Path) -> None:
    assert cli("backup", str(database), "--database", str(database)).code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["", "--database", "no.db"], 2, "FILE must name a file, not ''"),
        (["copy.db", "--database", "no.db"], 2, "--database: {}/no.db is no file"),
        (["copy.db", "--database", "."], 2, "--database: {} is no file"),
        (["none/copy.db", "--database", "x.db"], 2, "FILE: {}/none is no directory"),
        (["copy.db", "--database", "text"], 1, "{}/text can't be copied: file is not a database"),
        (["copy.db", "--database", "foreign"], 2, "{}/foreign holds no AppIDs of a service"),
        (
            ["copy.db", "--database", "postgresql://x:pw@y/z"],
            2,
            "--database must be an SQLite file for this",
        ),
    ],
)
def test_what_can_not_be_copied_is_one_line_and_leaves_nothing(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no database, but long enough to be looked at" * 100)
    with closing(sqlite3.connect(tmp_path / "foreign")) as foreign:
        foreign.execute("CREATE TABLE things (id)")
    ran = cli("backup", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert message.format(tmp_path) in ran.err and ran.err.count("\n") == 1
    assert "pw" not in ran.err
    assert {path.name for path in tmp_path.iterdir()} == {"text", "foreign"}


def test_a_damaged_database_is_no_backup(cli: Cli, tmp_path: Path) -> None:
    with (
        LocalService(database=tmp_path / "source.db") as service,
        AppIdClient(service.url) as client,
    ):
        client.init_product("p", {f"a{number}": "v" * 100 for number in range(500)})
    source = tmp_path / "source.db"
    content = bytearray(source.read_bytes())
    content[8192 : 8192 + 20000] = b"\xff" * 20000
    source.write_bytes(content)
    copy = tmp_path / "copy"
    ran = cli("backup", str(copy), "--database", str(source))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert not copy.exists()
