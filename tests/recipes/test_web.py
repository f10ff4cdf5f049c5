"""The recipes of web applications, each under its framework."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
import requests

from tests.support.waiting import PATIENCE, wait_until
from tests.support.webserver import under_uvicorn

from .conftest import World


def test_fastapi(world: World) -> None:
    with under_uvicorn(world.load("FastAPI").app) as url:
        billed = requests.post(f"{url}/bill", params={"minutes": 3}, timeout=30).json()
        assert (billed["minutes"], billed["appid"]) == (3, "a0")
        assert requests.get(f"{url}/words", timeout=30).text == "billed\nto\na1\n"
        schema = requests.get(f"{url}/openapi.json", timeout=30).json()
        world.take_all()
        refused = requests.post(f"{url}/bill", params={"minutes": 3}, timeout=30)
    assert (refused.status_code, "stt_billing" in refused.json()["error"]) == (503, True)
    parameters = schema["paths"]["/bill"]["post"]["parameters"]
    assert [parameter["name"] for parameter in parameters] == ["minutes"]
    assert world.used == 6


def test_a_decorated_path_of_fastapi_that_streams_is_warned_of(world: World) -> None:
    from fastapi.responses import StreamingResponse

    from appid_manager_client import uses_appid

    module = world.load("FastAPI")

    @module.app.get("/late")
    @uses_appid("stt_billing")
    def late() -> StreamingResponse:
        return StreamingResponse(iter(["x"]))

    with (
        pytest.warns(RuntimeWarning, match=r"late\(\) returned a StreamingResponse, which goes on"),
        under_uvicorn(module.app) as url,
    ):
        assert requests.get(f"{url}/late", timeout=30).text == "x"


def test_flask(world: World) -> None:
    client = world.load("Flask").app.test_client()
    billed = client.post("/bill/3").get_json()
    assert (billed["minutes"], billed["appid"]) == (3, "a0")
    assert client.get("/words").text == "billed to a1\n"
    world.take_all()
    refused = client.post("/bill/3")
    assert (refused.status_code, "stt_billing" in refused.get_json()["error"]) == (503, True)


def test_django(world: World) -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django.test import RequestFactory

    module = world.load("Django")
    request = RequestFactory().get("/")
    assert json.loads(module.bill(request, minutes=3).content)["appid"] == "a0"
    assert b"".join(module.words(request)) == b"billed to a1\n"
    module.recorded.send(sender=None)
    assert module.biller.billed_to == "a2"
    assert world.used == 3


@pytest.mark.parametrize("workers", [["--workers", "2"], ["--worker-class", "gevent"]])
def test_gunicorn_with_preload(world: World, workers: list[str]) -> None:
    module = world.write("gunicorn with preload").stem
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["gunicorn", "--preload", *workers, "--bind", f"127.0.0.1:{port}"]
    gunicorn = subprocess.Popen([sys.executable, "-m", *command, f"{module}:app"], cwd=world.folder)
    try:
        wait_until(lambda: answers(port), what="gunicorn answers")
        for _ in range(4):
            told = requests.get(f"http://127.0.0.1:{port}", timeout=30).json()
            assert (told["product_name"], told["state"]) == ("stt_billing", "held")
        assert "in_use" in world.states
    finally:
        gunicorn.send_signal(signal.SIGTERM)
        assert gunicorn.wait(PATIENCE) == 0
    wait_until(lambda: "in_use" not in world.states, what="the pools have given back")


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}", timeout=30).ok
    except requests.ConnectionError:
        return False
