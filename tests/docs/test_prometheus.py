"""The alert rules and the dashboard are what promtool takes, and use figures that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appid_manager_client import AppIdClient
from appid_manager_client.integrations.prometheus import LeaseMetrics
from appid_manager_client.testing import LocalService

DIRECTORY = Path(__file__).parents[2] / "docs" / "prometheus"
RULES = yaml.safe_load((DIRECTORY / "alerts.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((DIRECTORY / "dashboard.json").read_text(encoding="utf-8"))


def promtool(*arguments: str | Path) -> str:
    program = shutil.which("promtool")
    if program is None:
        message = "there is no promtool (Debian: apt-get install prometheus)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    command = [program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=DIRECTORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> Iterator[dict[str, str]]:
    for group in RULES["groups"]:
        yield from group["rules"]


def shown() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_the_rules_are_what_prometheus_takes() -> None:
    count = len(list(rules()))
    assert f"SUCCESS: {count} rules found" in promtool("check", "rules", "alerts.yaml")


def test_each_rule_strikes_when_it_should_and_not_before() -> None:
    promtool("test", "rules", "alerts_test.yaml")
    tested = yaml.safe_load((DIRECTORY / "alerts_test.yaml").read_text(encoding="utf-8"))
    struck = {
        case["alertname"]
        for test in tested["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert struck == {rule["alert"] for rule in rules()}


def test_each_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    # Grafana puts the products in; a record checks an expression and no more.
    records = [
        {"record": f"shown:{number}", "expr": expression.replace("$product", ".*")}
        for number, expression in enumerate(shown())
    ]
    file = tmp_path / "shown.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": records}]}))
    assert f"SUCCESS: {len(records)} rules found" in promtool("check", "rules", file)


def test_every_figure_that_is_used_is_told() -> None:
    used = {
        name
        for expression in [*shown(), *(rule["expr"] for rule in rules())]
        for name in re.findall(r"\bappid_\w+", expression)
    }
    assert used <= told(), used - told()


def told() -> set[str]:
    """The names of all figures, of the service and of a program, once something has happened."""
    registry = CollectorRegistry()
    metrics = LeaseMetrics(registry)
    with LocalService() as service, AppIdClient(service.url) as client:
        client.init_product("p", {"a": 1})
        with client.pool("p", max_size=1) as pool:
            metrics.watch(pool)
            with pool.lease():
                client.pool("p", max_size=1)
                requests.post(
                    f"{service.url}/api/appid/acquire", json={"productName": "p"}, timeout=30
                )
                of_program = generate_latest(registry).decode()
        client.acquire_appid("p", force=True, ttl=1)
        client.init_product("p", {"a": 1})
        client.acquire_appid("p", ttl=1)
        service.advance(2)
        requests.post(f"{service.url}/api/appid/acquire", json={"productName": "q"}, timeout=30)
        of_service = requests.get(f"{service.url}/metrics", timeout=30).text
    return {
        sample.name
        for text in (of_program, of_service)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
