"""`appid-manager migrate` and `copy`: what they say, and what they leave alone."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.cli.command import Cli, Ran
from tests.service.store.test_schema import OLD, change, schema_of, shape

STEPS = [
    "schema 2: Fences, reserved AppIDs, the line, the services that use a database, and more "
    "indexes.",
    "schema 3: Names of tokens in the history, what operators did, and products that are paused.",
]


def told(what: str) -> str:
    """A line for each step."""
    return "".join(f"{what}: {step}\n" for step in STEPS)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "old.db"))


def test_migrate_does_what_is_to_be_done_and_says_it(cli: Cli, old: Path) -> None:
    assert cli("migrate", "--database", str(old)) == Ran(0, told(str(old)), "")
    assert schema_of(old) == "3"
    assert cli("migrate", "--database", str(old)).out == f"{old} has schema 3: nothing to do\n"


def test_check_shows_what_is_to_be_done_and_does_nothing(cli: Cli, old: Path) -> None:
    before = shape(old)
    assert cli("migrate", "--check", "--database", str(old)) == Ran(1, told(f"{old}: to do"), "")
    assert shape(old) == before
    found = json.loads(cli("--json", "migrate", "--check", "--database", str(old)).out)
    assert (found["found"], found["schema"], found["done"]) == ("1", "3", False)
    assert found["steps"] == STEPS
    cli("migrate", "--database", str(old))
    assert cli("migrate", "--check", "--database", str(old)).code == 0


def test_the_printed_sql_does_the_same_by_hand(cli: Cli, old: Path, tmp_path: Path) -> None:
    printed = {}
    for database in (old, tmp_path / "new.db"):
        before = shape(old)
        ran = cli("migrate", "--sql", "--database", str(database))
        assert (ran.code, ran.err) == (0, "")
        printed[database.name] = ran.out
        assert shape(old) == before
        assert not (tmp_path / "new.db").exists()
    by_hand = Path(shutil.copy(old, tmp_path / "by_hand.db")), tmp_path / "made_by_hand.db"
    for path, sql in zip(by_hand, printed.values(), strict=True):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(sql)
    cli("migrate", "--database", str(old))
    assert shape(by_hand[0]) == shape(by_hand[1]) == shape(old)
    assert cli("migrate", "--sql", "--database", str(old)).out == "-- schema 3: nothing to do\n"


def test_migrate_makes_the_tables_of_a_new_database(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    assert (
        cli("migrate", "--check", "--database", str(file)).out
        == f"{file}: to do: make the tables\n"
    )
    assert not file.exists()
    assert cli("migrate", "--database", str(file)) == Ran(0, f"{file}: make the tables\n", "")
    assert schema_of(file) == "3"


@pytest.mark.parametrize("how", [[], ["--check"], ["--sql"]])
def test_a_newer_schema_is_refused_in_one_line(cli: Cli, old: Path, how: list[str]) -> None:
    change(old, "UPDATE meta SET value = '9' WHERE key = 'schema'")
    ran = cli("migrate", *how, "--database", str(old))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"appid-manager: {old} has schema 9, and this version")
    assert ran.err.count("\n") == 1


def test_copy_says_what_it_moved(cli: Cli, old: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.db"
    cli("migrate", "--database", str(old))
    copied = cli("copy", str(old), str(target))
    assert (copied.code, copied.err) == (0, "")
    assert copied.out.splitlines() == [
        f"copied {old} to {target}: rows of 0 acts, 8 appids, 8 leases, 0 line, 2 meta, "
        "0 pauses",
        "services use the target from now on, and refuse the source",
    ]
    again = cli("copy", str(old), str(tmp_path / "other.db"))
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith(f"appid-manager: {old} was copied to {target}, ")
    back = json.loads(cli("--json", "copy", str(target), str(tmp_path / "back.db")).out)
    assert back["rows"] == {
        **dict.fromkeys(["acts", "line", "pauses"], 0),
        **{"appids": 8, "leases": 8, "meta": 2},
    }


@pytest.mark.parametrize("bad", ["", "mysql://user:secret@db/x", "a?b"])
def test_what_names_no_database_is_wrong_usage(cli: Cli, old: Path, bad: str) -> None:
    ran = cli("copy", str(old), bad)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1 and "secret" not in ran.err
