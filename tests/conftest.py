"""Every test has a clean environment and an empty home, and reaches only this machine."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support.field import FieldService
from tests.support.isolation import (
    block_the_network,
    clean_environment,
    hear_all_signals,
    nothing_left_running,
)
from tests.support.leftovers import leave_nothing_behind
from tests.support.ours import OurService, use_services
from tests.support.pgbouncer import find_pgbouncer, running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.replicated import Replicas

pytest_plugins = ["pytester"]

_count = itertools.count()


# How long an example takes depends on the machine more than on the code.
hypothesis.settings.register_profile("project", deadline=None)
# One run of random examples can miss what another one finds: where runs are compared, all of them
# try the same ones. `make soak` explores.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "project")


def pytest_configure() -> None:
    # After the last test, clients that no service answers any more say what they left.
    logging.getLogger("appid_manager_client").addHandler(logging.NullHandler())
    leave_nothing_behind()
    block_the_network()
    hear_all_signals()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--replicas",
        action="store_true",
        help="run our service as two replicas on PostgreSQL, where a test gets it "
        "from tests/support/ours.py",
    )


@pytest.fixture(scope="session", autouse=True)
def _services(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--replicas"):
        replicas: Replicas = request.getfixturevalue("replicas")
        use_services(replicas.service)


@pytest.fixture(scope="session")
def replicas(postgres: PostgresServer) -> Iterator[Replicas]:
    """Makes services of two replicas each, behind pgbouncer where that is installed."""
    if find_pgbouncer() is None:
        yield Replicas(postgres, None)
        return
    with running_pgbouncer(postgres.port) as bouncer:
        yield Replicas(postgres, bouncer)


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_count))
    home.mkdir(parents=True)
    with clean_environment(home), nothing_left_running():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL server that all tests of this process share."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def field_service() -> Iterator[FieldService]:
    """The model of the field service. Its clock runs, and starts ten minutes into an hour."""
    with _field_service() as service:
        yield service


@pytest.fixture(params=["legacy", "ours"])
def any_service(request: pytest.FixtureRequest) -> Iterator[FieldService | OurService]:
    """Both services in turn, ten minutes into an hour, with the interface that both have."""
    with _field_service() if request.param == "legacy" else OurService() as service:
        yield service


def _field_service() -> FieldService:
    service = FieldService(accept_text_vids=True)
    service.set_time(service.model.hour_start() / 1000 + 600)
    return service
