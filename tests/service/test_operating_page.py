"""What docs/operating.md says is done as it says: roles, rights, a dump and its restore."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.server.store.whole import migrate
from appid_manager_client.testing import LocalService
from tests.support import pgbouncer
from tests.support.postgres import PostgresServer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operating.md").read_text()


def blocks(language: str) -> list[str]:
    """The page's blocks of code in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def url_of(postgres: PostgresServer, role: str, password: str, database: str = "appids") -> str:
    password = password.replace(" ", "%20").replace(",", "%2C")
    return f"postgresql://{role}:{password}@127.0.0.1:{postgres.port}/{database}"


@pytest.fixture
def set_up(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A database with its roles and rights, made as the page says."""
    roles, rights = blocks("sql")
    with postgres.superuser() as connection:
        for statement in roles.split(";"):
            if statement.strip():
                connection.execute(statement.encode())
    owner = url_of(postgres, "appids_owner", "change me")
    migrate(owner)
    with psycopg.connect(owner) as connection:
        connection.execute(rights.encode())
    yield postgres
    with postgres.superuser() as connection:
        for database in ("appids", "appids_new"):
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        for role in ("appids", "appids_owner"):
            connection.execute(f"DROP ROLE {role}")


def test_the_role_of_the_service_can_do_all_that_it_has_to(set_up: PostgresServer) -> None:
    url = url_of(set_up, "appids", "change me, too")
    with LocalService(database=url) as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1, "b": 2})
        client.init_product("p", {"a": 1, "c": 3}, keep_state=True)
        with client.lease("p", ttl=60) as lease:
            assert client.reserve_appid("c", "p") == "reserved"
            service.restart()
            assert service.history("p")[0]["leaseId"] == lease.lease_id
        assert [entry["ended"] for entry in service.history("p")] == ["released"]


def test_a_restored_dump_has_all_and_fences_go_on(set_up: PostgresServer) -> None:
    url = url_of(set_up, "appids", "change me, too")
    with LocalService(database=url) as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1})
        lost = client.lease("p", ttl=60).acquire()
        with set_up.superuser() as connection:
            connection.execute("CREATE DATABASE appids_new OWNER appids_owner TEMPLATE template0")
        for line in blocks("sh")[0].splitlines():
            program, *options = shlex.split(line)
            address = ["-h", str(set_up.sockets), "-p", str(set_up.port), "-U", "postgres"]
            set_up.run(program, *address, *options)
        lost.release()
    owner = url_of(set_up, "appids_owner", "change me", "appids_new")
    with LocalService(database=owner) as restored, AppIdClient(restored.url) as client:
        restored.advance_to_next_hour(offset=60)  # and the longest ttl
        with client.lease("p") as lease:
            assert lease.fence is not None and lost.fence is not None
            assert lease.fence > lost.fence


def test_pgbouncer_is_tested_with_the_settings_that_the_page_has() -> None:
    settings = blocks("ini")[0].splitlines()
    assert settings and all(line in pgbouncer.SETTINGS.splitlines() for line in settings)
