"""health, acquire, release and status: their output and exit codes, against a real service."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from appid_manager_client import AppIdClient
from appid_manager_client.runtime.identity import default_holder
from appid_manager_client.testing import LocalService
from tests.cli.command import Cli
from tests.support.field import FieldService
from tests.support.waiting import wait_until


def test_health_shows_the_services_clock_and_hour(cli: Cli, shared_service: LocalService) -> None:
    ran = cli("health")
    assert ran.code == 0
    assert ran.out.startswith(f"{shared_service.url} is healthy\n")
    assert "its hour    ends at " in ran.out


def test_health_as_json_is_one_object(cli: Cli, shared_service: LocalService) -> None:
    ran = cli("--json", "health")
    found = json.loads(ran.out)
    assert (found["status"], found["hourEnd"]) == ("healthy", shared_service.hour.end)


def test_health_says_that_a_service_is_a_field_service(cli: Cli) -> None:
    with FieldService() as service:
        ran = cli("health", url=service.url)
    assert ran.code == 0
    assert "no: a field service" in ran.out


def test_health_of_a_service_that_lost_its_database_is_unavailable(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "appids.db"
    with LocalService(database=file) as service, AppIdClient(service.url) as client:
        file.unlink()
        wait_until(lambda: not client.health_check(), what="a look that failed")
        ran = cli("health", url=service.url)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith(f"appid-manager: {service.url} can't serve GET /health now (503, ")
    assert "deleted, replaced or moved" in ran.err and ran.err.count("\n") == 1


def test_health_of_nothing_is_unavailable_in_one_line(cli: Cli) -> None:
    with FieldService() as service, service.refusing():
        ran = cli("health", url=service.url)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == (
        f"appid-manager: {service.url} (GET /health): connection refused; "
        "is the service running there? (--url or APPID_MANAGER_URL says where)\n"
    )


def test_acquire_prints_the_appid_a_tab_and_the_vid(cli: Cli, product: str) -> None:
    assert cli("acquire", product).out == f"{product}-1\tv1\n"


def test_acquire_as_json_has_the_names_of_the_wire(cli: Cli, product: str) -> None:
    found = json.loads(cli("--json", "acquire", product).out)
    assert (found["appid"], found["vid"], found["productName"]) == (f"{product}-1", "v1", product)
    assert isinstance(found["starttime"], int)


def test_acquire_for_a_shell_quotes_what_it_assigns(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_text(json.dumps({"it's; rm": "v $x"}))
    cli("init", "odd", str(file))
    lines = cli("acquire", "odd", "--shell").out.splitlines()
    assert lines[:2] == ["APPID='it'\"'\"'s; rm'", "APPID_VID='v $x'"]


def test_the_holder_is_user_host_process_and_program_by_default(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    cli("acquire", product)
    assert shared_service.history(product)[0]["holder"] == default_holder()


def test_a_holder_is_shown_to_others(cli: Cli, product: str, shared_service: LocalService) -> None:
    assert cli("acquire", product, "--holder", "h" * 200).code == 0
    assert shared_service.history(product)[0]["holder"] == "h" * 200


def test_an_appid_with_a_ttl_is_taken_back_after_it(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    assert cli("acquire", product, "--ttl", "90").code == 0
    shared_service.clock.advance(89)
    assert "1 in use" in cli("status", product).out
    shared_service.clock.advance(2)
    assert "0 in use" in cli("status", product).out
    assert shared_service.history(product)[0]["ended"] == "expired"


def test_a_ttl_is_refused_for_a_service_that_would_ignore_it(cli: Cli) -> None:
    with FieldService() as service:
        ran = cli("acquire", "p", "--ttl", "60", url=service.url)
        assert [call.path for call in service.calls] == ["/health"]
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"appid-manager: --ttl: {service.url} is a field service, "
        "which never takes an AppID back by itself\n"
    )


def test_by_force_an_appid_is_taken_that_was_used_in_this_hour(cli: Cli, product: str) -> None:
    for _ in range(2):
        appid = cli("acquire", product).out.split("\t")[0]
        cli("release", product, appid)
    assert cli("acquire", product, "--no-wait").code == 3
    assert cli("acquire", product, "--no-wait", "--force").out == f"{product}-1\tv1\n"


@pytest.mark.parametrize("how", [("--no-wait",), ("--timeout", "0"), ("--timeout", "5")])
def test_an_acquire_that_gets_nothing_in_time_exits_with_3(
    cli: Cli, product: str, how: tuple[str, ...]
) -> None:
    cli("acquire", product), cli("acquire", product)
    ran = cli("acquire", product, *how)
    assert (ran.code, ran.out) == (3, "")
    assert "the next can be free at" in ran.err
    assert ran.err.count("\n") == 1


def test_an_error_as_json_has_its_kind_and_when_an_appid_can_be_free(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    cli("acquire", product), cli("acquire", product)
    facts = json.loads(cli("--json", "acquire", product, "--no-wait").err)
    assert (facts["error"], facts["exit"]) == ("NoAppIdAvailable", 3)
    assert facts["availableAt"] == shared_service.hour.end


def test_an_appid_that_can_not_be_printed_is_given_back(
    cli: Cli, product: str, shared_service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    ran = cli("acquire", product)
    assert ran.code == 1
    assert [e["status"] for e in shared_service.status(product)["appids"]] == [
        "used_in_current_hour",
        "available",
    ]


def test_release_says_whether_it_released(cli: Cli, product: str) -> None:
    appid = cli("acquire", product).out.split("\t")[0]
    assert cli("release", product, appid).out == f"released {appid} of {product}\n"
    again = cli("release", product, appid)
    assert (again.code, again.out) == (0, f"{appid} of {product} was released already\n")


def test_a_release_of_what_was_never_acquired_is_refused_with_6(cli: Cli, product: str) -> None:
    assert cli("release", product, f"{product}-1").code == 6


def test_status_shows_each_appid_and_its_state(cli: Cli, product: str) -> None:
    cli("acquire", product)
    lines = cli("status", "--product", product).out.splitlines()
    assert lines[0] == f"{product}: 2 AppIDs, 1 free, 1 in use, 0 used this hour"
    assert lines[1].split() == ["APPID", "VID", "STATE", "ACQUIRED", "RELEASED", "HOLDER"]
    assert lines[2].split()[:4] == [f"{product}-1", "v1", "in", "use"]
    assert lines[3].split() == [f"{product}-2", "2", "free", "-", "-", "-"]


def test_status_as_json_is_what_the_service_sent(
    cli: Cli, product: str, shared_service: LocalService
) -> None:
    ran = cli("--json", "status", "--product", product)
    assert json.loads(ran.out) == shared_service.status(product)


def test_the_status_of_an_unknown_product_is_refused_with_6(cli: Cli) -> None:
    ran = cli("status", "--product", "typo")
    assert (ran.code, ran.out) == (6, "")
    assert "knows no product 'typo'" in ran.err
