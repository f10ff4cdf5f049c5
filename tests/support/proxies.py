"""nginx and Caddy with the project's own configuration, in front of a service on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.support.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"

_AROUND_NGINX = """
daemon off;
{user}
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""
_AROUND_CADDY = """
{{
    admin off
    auto_https disable_redirects
    skip_install_trust
}}
{site}
"""


@dataclass
class Proxy:
    """A running proxy: its URL, and the file with what its certificate is signed by."""

    url: str
    trusted: str


def find_program(name: str) -> str:
    """The path of a program of Debian; without it a test is skipped, or fails where `CI` is set."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        message = f"there is no {name} (Debian: apt-get install {name})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return program


@contextlib.contextmanager
def running_proxy(name: str, service_url: str, directory: Path) -> Iterator[Proxy]:
    """Run `nginx` or `caddy` before a service, with what is in `deploy`, its names replaced."""
    program = find_program(name)
    authority = trustme.CA()
    trusted = directory / "trusted.pem"
    authority.cert_pem.write_to_path(str(trusted))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(directory / "chain.pem"))
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    port = _free_port()
    write = _write_nginx if name == "nginx" else _write_caddy
    check, start = write(program, directory, service_url.removeprefix("http://"), port)
    environment = {**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    checked = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    log = directory / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(start, env=environment, stdout=errors, stderr=errors)
    try:
        wait_until(lambda: _listens(port, process), what=f"{name} listens: {log.read_text()}")
        yield Proxy(f"https://127.0.0.1:{port}", str(trusted))
    finally:
        process.terminate()
        process.wait(30)


def _write_nginx(
    program: str, directory: Path, service: str, port: int
) -> tuple[list[str], list[str]]:
    site = _replaced(
        "nginx.conf",
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("server 127.0.0.1:5000", f"server {service}"),
        ("/etc/ssl/appids.example.pem", f"{directory}/chain.pem"),
        ("/etc/ssl/appids.example.key", f"{directory}/key.pem"),
    )
    (directory / "site.conf").write_text(site)
    user = "user root;" if os.geteuid() == 0 else ""
    file = directory / "nginx.conf"
    file.write_text(_AROUND_NGINX.format(user=user, directory=directory))
    command = [program, "-e", "stderr", "-c", str(file)]
    return [*command, "-t"], command


def _write_caddy(
    program: str, directory: Path, service: str, port: int
) -> tuple[list[str], list[str]]:
    certificate = f"tls {directory}/chain.pem {directory}/key.pem"
    site = _replaced(
        "Caddyfile",
        ("appids.example {\n", f"https://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\t{certificate}\n"),
        ("127.0.0.1:5000", service),
    )
    file = directory / "Caddyfile"
    file.write_text(_AROUND_CADDY.format(site=site))
    adapted = ["--config", str(file), "--adapter", "caddyfile"]
    return [program, "validate", *adapted], [program, "run", *adapted]


def _replaced(name: str, *pairs: tuple[str, str]) -> str:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for before, after in pairs:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise AssertionError("the proxy has ended")
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
