"""The tables in PostgreSQL: made, migrated, printed, or refused, by services and by hand."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event, inspect

from appid_manager_client import ConfigurationError
from appid_manager_client.cli import main
from appid_manager_client.server.hours import make_hours
from appid_manager_client.server.operations import Acquire, Granted, Release, Released
from appid_manager_client.server.records import HistoryQuery, StatusQuery
from appid_manager_client.server.store import registry
from appid_manager_client.server.store.engines import open_whole
from appid_manager_client.server.store.migrations import steps
from appid_manager_client.server.store.schema import pending
from appid_manager_client.server.store.store import Store
from appid_manager_client.server.store.tables import SCHEMA
from appid_manager_client.testing import LocalService
from tests.cli.command import Ran
from tests.service.conftest import Api
from tests.service.process import ServiceProcess, service_process
from tests.support.postgres import PostgresServer

from .test_schema import NOW, OLD

TABLES = ("meta", "appids", "leases")
BOOLEANS = {"held", "retired"}


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def schema_of(url: str) -> object:
    [(found,)] = ask(url, "SELECT value FROM meta WHERE key = 'schema'")
    return found


def shape(url: str) -> Any:
    """The columns, keys, indexes and storage options of every table, and the values of `meta`."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = inspect(connection)
        tables = {
            name: (
                # The order of columns doesn't matter: each statement names those that it uses.
                sorted(
                    (column["name"], str(column["type"]), column["nullable"], column["default"])
                    for column in found.get_columns(name)
                ),
                found.get_pk_constraint(name)["constrained_columns"],
                sorted(map(str, found.get_unique_constraints(name))),
            )
            for name in found.get_table_names()
        }
    engine.dispose()
    indexes = ask(url, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    # SQLAlchemy reads them since 2.1 only.
    options = ask(
        url,
        "SELECT relname, reloptions FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    # The key of sessions is random, and made when a service starts.
    values = ask(url, "SELECT key, value FROM meta WHERE key <> 'session_key' ORDER BY 1")
    return tables, indexes, options, values


def make_old(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a database the tables of schema 1, with the rows of the kept SQLite file."""
    with monkeypatch.context() as patch, open_whole(url) as connection:
        patch.setattr(steps, "SCHEMA", "1")
        steps.run(connection, "base")
    with contextlib.closing(sqlite3.connect(OLD)) as kept, psycopg.connect(url) as connection:
        connection.execute("DELETE FROM meta")
        for table in TABLES:
            found = kept.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in found.description]
            places = ", ".join(["%s"] * len(names))
            for row in found:
                values = [
                    bool(value) if name in BOOLEANS else value
                    for name, value in zip(names, row, strict=True)
                ]
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", values
                )
        for table in ("appids", "leases"):
            connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
            )


@pytest.fixture
def old(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    make_old(postgres_url, monkeypatch)
    return postgres_url


@pytest.fixture
def new(postgres: PostgresServer) -> Iterator[str]:
    """A database that was made at once."""
    with postgres.database() as url:
        open_store(url).close()
        yield url


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `appid-manager` in this process."""

    def run(*arguments: str) -> Ran:
        code = main(list(arguments))
        return Ran(code, *capsys.readouterr())

    return run


def open_store(url: str) -> Store:
    return Store(url, make_hours("UTC"), lambda: NOW)


def test_a_new_database_has_the_shape_that_all_migrations_make(postgres_url: str, new: str) -> None:
    with open_whole(postgres_url) as connection:
        steps.run(connection, "base")
    open_store(postgres_url).close()  # notes the hours
    assert shape(postgres_url) == shape(new)
    assert len(shape(new)[0]) == 7


def test_an_old_database_is_carried_over(old: str, new: str) -> None:
    with contextlib.closing(open_store(old)) as store:
        assert shape(old) == shape(new)
        status = store.status(StatusQuery())
        states = {entry.appid: entry.state for entry in status.appids or ()}
        in_use = {appid for appid, state in states.items() if state == "in_use"}
        assert (len(states), in_use) == (8, {"a2", "a4", "t1", "o1"})
        assert len(store.history(HistoryQuery()).leases) == 7
        repeated, released, granted = store.execute(
            [
                Acquire("stt_billing", request_id="request-6"),
                Release("stt_billing", "a2"),
                Acquire("stt_billing"),
            ]
        )
        assert isinstance(repeated, Granted) and repeated.appid == "a4"
        assert isinstance(released, Released)
        assert isinstance(granted, Granted)


@pytest.mark.parametrize("before", ["empty", "old"])
def test_services_that_start_together_all_serve_it(
    postgres_url: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before == "old":
        make_old(postgres_url, monkeypatch)
    with ThreadPoolExecutor(4) as starters, contextlib.ExitStack() as stack:
        started = [starters.submit(ServiceProcess, postgres_url) for _ in range(4)]
        for start_of in started:
            stack.callback(start_of.result().end)
        assert schema_of(postgres_url) == SCHEMA
        assert ask(postgres_url, "SELECT count(*) FROM processes") == [(4,)]


def test_a_database_that_is_made_during_a_look_belongs_to_no_other_program(
    postgres_url: str,
) -> None:
    made: list[LocalService] = []

    def make_it_once(*_: object) -> None:
        if not made:
            made.append(LocalService(database=postgres_url))
            with made[0]:
                pass

    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        event.listen(connection, "after_cursor_execute", make_it_once)
        assert pending(connection, "the database").found is None
        assert pending(connection, "the database").found == SCHEMA
    engine.dispose()


def test_nothing_is_migrated_while_a_service_uses_it(new: str, cli: Cli) -> None:
    with service_process(new) as running:
        ask(new, "UPDATE meta SET value = '1' WHERE key = 'schema'")
        ran = cli("migrate", "--database", new)
        assert (ran.code, ran.out) == (1, "")
        assert f":{running.process.pid}-" in ran.err and "schema 3" in ran.err
        assert ran.err.count("\n") == 1
        assert schema_of(new) == "1"


def test_a_running_service_stops_granting_when_the_schema_has_changed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "REFRESH_EVERY", 0.0)
    with LocalService(database=postgres_url) as service:
        api = Api(service)
        with api.session:
            api.init("p", {"a1": "v1", "a2": "v2"})
            assert api.acquire("p")[0] == 200
            ask(postgres_url, "UPDATE meta SET value = '4' WHERE key = 'schema'")
            code, body = api.acquire("p")
    assert (code, body["error"], body["reason"]) == (503, "unavailable", "incompatible")
    assert "schema 4" in body["message"] and "schema 3" in body["message"]


def test_a_newer_database_is_refused_with_both_schemas(new: str) -> None:
    ask(new, "UPDATE meta SET value = '7' WHERE key = 'schema'")
    with pytest.raises(ConfigurationError, match=r"schema 7, .* up to 3: update") as caught:
        open_store(new)
    assert caught.value.setting == "database"


def test_a_table_of_another_program_is_not_taken_over(postgres_url: str) -> None:
    ask(postgres_url, "CREATE TABLE leases (id integer)")
    with pytest.raises(ConfigurationError, match="belongs to another program"):
        open_store(postgres_url)
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]


def test_the_printed_sql_does_what_migrate_does(
    cli: Cli, postgres: PostgresServer, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.database() as by_hand, postgres.database() as empty:
        make_old(by_hand, monkeypatch)
        before = shape(old)
        for url in (by_hand, empty):
            ran = cli("migrate", "--sql", "--database", url)
            assert (ran.code, ran.err) == (0, "")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(ran.out.encode())
        assert shape(old) == before, "to print is not to do"
        found = json.loads(cli("--json", "migrate", "--database", old).out)
        assert (found["found"], found["done"]) == ("1", True)
        assert shape(by_hand) == shape(old)
        assert shape(empty)[:3] == shape(old)[:3]
        where = f"postgresql://127.0.0.1:{postgres.port}/{old.rpartition('/')[2]}"
        assert cli("migrate", "--check", "--database", old) == Ran(
            0, f"{where} has schema 3: nothing to do\n", ""
        )


def test_a_database_that_is_not_there_is_one_line(cli: Cli, postgres_url: str) -> None:
    missing = f"{postgres_url.rpartition('/')[0]}/missing"
    for how in ([], ["--check"], ["--sql"]):
        ran = cli("migrate", *how, "--database", missing)
        assert (ran.code, ran.out) == (1, "")
        assert 'database "missing" does not exist' in ran.err and ran.err.count("\n") == 1
