"""Pages in a real browser: one of another origin changes nothing, one of the service's own may.

Needs Debian's `chromium`; skipped without it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from appid_manager_client.testing import LocalService
from tests.service.conftest import Api

CHROMIUM = shutil.which("chromium")
START_WITHIN = 60.0

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")

# What a page can send to anywhere without being asked: a form, and a fetch as plain text. A form's
# field is its name, "=" and its value: split in the middle of a text, they are JSON.
ATTACK = """<!doctype html>
<iframe name="answer"></iframe>
<form method="post" enctype="text/plain" target="answer" action="URL/api/appid/init">
<input name='{"productName": "p", "appids": {"evil": "1"}, "x": "' value='"}'></form>
<script>
const init = '{"productName": "p", "appids": {"evil": "1"}}';
const other = "URL".replace("127.0.0.1", "localhost");
const sent = ["URL", other].map(url => fetch(url + "/api/appid/init", {
    method: "POST", mode: "no-cors", body: init, headers: {"Content-Type": "text/plain"}
}).then(answer => answer.type));
const form = new Promise(done => document.querySelector("iframe").onload = () => done("form"));
document.querySelector("form").submit();
Promise.all([...sent, form]).then(
    said => fetch("/report", {method: "POST", body: JSON.stringify(["attack", said])}));
</script>
<iframe src="http://127.0.0.1:PORT/own"></iframe>
<iframe src="http://rebound.example:PORT/own"></iframe>"""

OWN = """<!doctype html><script>
fetch("/api/appid/acquire", {method: "POST", body: '{"productName": "p"}'}).then(answer => fetch(
    "/report", {method: "POST", body: JSON.stringify([location.hostname, answer.status])}));
</script>"""


class Site(BaseHTTPRequestHandler):
    """A web server that has both pages, and passes calls on to the service, as a proxy does."""

    service: LocalService
    reports: queue.Queue[tuple[str, object]]

    def do_GET(self) -> None:  # noqa: N802 - as http.server has it
        port = str(self.connection.getsockname()[1])
        page = OWN if self.path == "/own" else ATTACK
        self._answer(200, page.replace("URL", self.service.url).replace("PORT", port).encode())

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/report":
            self.reports.put(tuple(json.loads(body)))
            self._answer(200, b"")
            return
        connection = http.client.HTTPConnection(self.service.url.removeprefix("http://"))
        with contextlib.closing(connection):
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self._answer(answer.status, answer.read())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_changes_only_what_its_own_origin_serves(tmp_path, caplog):
    with LocalService() as service, contextlib.ExitStack() as stack:
        Api(service).init("p", {"a": 1, "b": 2})
        reports = queue.Queue()
        site = type("TheSite", (Site,), {"service": service, "reports": reports})
        server = ThreadingHTTPServer(("127.0.0.1", 0), site)
        stack.callback(server.server_close)
        Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        browser = subprocess.Popen(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",  # as root it has none
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--host-resolver-rules=MAP rebound.example 127.0.0.1",
                f"--user-data-dir={tmp_path}",
                f"http://localhost:{server.server_address[1]}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )
        stack.callback(browser.wait, START_WITHIN)
        stack.callback(browser.terminate)
        said = dict(reports.get(timeout=START_WITHIN) for _ in range(3))
        assert said == {
            "attack": ["opaque", "opaque", "form"],
            "127.0.0.1": 200,
            "rebound.example": 403,
        }
        assert [entry["appid"] for entry in service.status("p")["appids"]] == ["a", "b"]
    refused = [
        r.fields["header"] for r in caplog.records if getattr(r, "event", None) == "foreign_origin"
    ]
    assert sorted(refused) == ["Host", *["Sec-Fetch-Site"] * 3]
