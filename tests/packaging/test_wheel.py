"""The built wheel: what is in it, what it needs, and that it works where nothing more is there."""

from __future__ import annotations

import email
import email.message
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.field import FieldService

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# urllib3 comes with requests; it is declared because the core imports it, too.
CORE_NEEDS = {"requests", "urllib3", "wrapt"}
WHAT_THOSE_NEED = {"certifi", "charset-normalizer", "idna"}

USE_IT = """
import importlib.util, json
from appid_manager_client import INJECTED, AppIdClient, uses_appid
assert importlib.util.find_spec("starlette") is None and importlib.util.find_spec("pytest") is None
client = AppIdClient()
with client.lease("stt_billing") as lease:
    held = lease.appid
with client.pool("stt_billing") as pool, pool.lease() as lease:
    pooled = lease.appid
@uses_appid("stt_billing", client=client)
def decorated(lease=INJECTED):
    return lease.appid
injected = decorated()
appid, vid, start_time, product_name = client.acquire_appid("stt_billing")
print(json.dumps([held, pooled, injected, appid, vid, client.release_appid(appid, "stt_billing")]))
client.close()
"""

IMPORT_ALL = """
import importlib, json, pkgutil
import appid_manager_client
failed = {}
for module in pkgutil.walk_packages(appid_manager_client.__path__, "appid_manager_client."):
    if module.name.endswith(".__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        failed[module.name] = error.name
    except appid_manager_client.ConfigurationError as error:
        failed[module.name] = error.__cause__.name
print(json.dumps(failed))
"""

USE_WITHOUT_EXTRA = """
from appid_manager_client import ConfigurationError
try:
    from appid_manager_client.testing import LocalService
    LocalService().__enter__()
except ConfigurationError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", work, source],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (built,) = work.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, its two dependencies and theirs, and nothing else."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = (home / "lib").glob("python*/site-packages")
    for name in CORE_NEEDS | WHAT_THOSE_NEED:
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), site / file)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return home / "bin" / "python"


def _run(python: Path, program: str, **environment: str) -> str:
    done = subprocess.run(
        # -P: what is imported is the wheel, not the sources in the present folder.
        [python, "-P", "-W", "error", "-c", program],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {name for name in names if ".dist-info/" not in name}
    own = ROOT / "appid_manager_client"
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in [*own.rglob("*.py"), *own.rglob("pages/*/*.*"), own / "py.typed"]
        if "__pycache__" not in path.parts
    } | {
        f"appid_manager_client/integrations/{path.name}"
        for path in (ROOT / "integrations").glob("*.py")
    }
    assert packaged == expected
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_every_folder_of_the_package_is_declared() -> None:
    declared = PROJECT["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in (ROOT / "appid_manager_client").rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert declared == sorted({*names, "appid_manager_client.integrations"})


@pytest.fixture(scope="module")
def declared(wheel: Path) -> email.message.Message:
    """The metadata of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def needs(declared: email.message.Message, extra: str) -> set[str]:
    """What is installed with an extra; with `""`, what is installed with the core."""
    required = map(Requirement, declared.get_all("Requires-Dist", []))
    return {n.name for n in required if n.marker is None or n.marker.evaluate({"extra": extra})}


def test_the_core_needs_requests_and_wrapt_only(declared: email.message.Message) -> None:
    assert needs(declared, "") == CORE_NEEDS
    assert declared["Requires-Python"] == ">=3.11"


def test_each_extra_brings_what_it_is_named_for(declared: email.message.Message) -> None:
    brings = {
        "server": "starlette",
        "postgres": "psycopg",
        "celery": "celery",
        "rq": "rq",
        "pytest": "pytest",
        "completion": "shtab",
        "otel": "opentelemetry-api",
        "prometheus": "prometheus-client",
    }
    assert set(declared.get_all("Provides-Extra", [])) == {*brings, "dev"}
    for extra, name in brings.items():
        assert name in needs(declared, extra) - CORE_NEEDS


def test_the_command_and_the_plugin_of_pytest_are_found_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt"))
        points = archive.read(name).decode()
    assert "[pytest11]\nappid = appid_manager_client.integrations._pytest_entry" in points
    assert "appid-manager = appid_manager_client.cli:main" in points


def test_the_core_works_in_an_environment_with_its_own_dependencies_only(
    bare_python: Path,
) -> None:
    with FieldService() as service:
        service.init("stt_billing", {"a1": 1, "a2": 2, "a3": 3, "a4": 4})
        printed = _run(
            bare_python,
            USE_IT,
            APPID_MANAGER_URL=service.url,
            APPID_MANAGER_TOKEN=str(service.auth_token),
        )
        assert json.loads(printed) == ["a1", "a2", "a3", "a4", 4, True]
        assert service.in_use() == []


def test_only_what_an_extra_is_for_needs_it(bare_python: Path) -> None:
    failed = json.loads(_run(bare_python, IMPORT_ALL))
    heads = {name.split(".")[1] for name in failed}
    assert heads == {"integrations", "server"}
    assert set(failed.values()) == {
        "alembic",
        "celery",
        "h11",
        "httptools",
        "opentelemetry",
        "prometheus_client",
        "psycopg",
        "pydantic",
        "pytest",
        "rq",
        "sqlalchemy",
        "starlette",
        "uvicorn",
    }


def test_the_clone_s_address_is_the_declared_one() -> None:
    (address,) = PROJECT["project"]["urls"].values()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"git clone {address}.git" in readme


def test_a_missing_extra_is_named_in_one_line(bare_python: Path) -> None:
    said = _run(bare_python, USE_WITHOUT_EXTRA)
    assert 'pip install "appid-manager-client[server]"' in said
    assert "\n" not in said
