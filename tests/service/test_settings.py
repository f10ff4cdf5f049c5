"""Settings that can't be used, and what else keeps the service from starting."""

import os
from dataclasses import replace

import pytest

from appid_manager_client.errors import ConfigurationError
from appid_manager_client.server import ServiceSettings, serve
from appid_manager_client.server.settings import describe_database
from appid_manager_client.server.http.authentication import Authenticator
from tests.support.secrets import TOKEN, assert_hidden


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", ""),
        ("host", None),
        ("port", -1),
        ("port", 65536),
        ("port", "5000"),
        ("port", True),
        ("database", ""),
        ("database", "appids.db"),
        ("database", "sqlite://"),
        ("database", "sqlite:///:memory:"),
        ("database", "mysql://user:pa55@host/db"),
        ("auth_token", ""),
        ("auth_token", " x"),
        ("auth_token", "sch\u00f6n"),
        ("auth_token", "a\nb"),
        ("auth_token", "a b"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../etc/passwd"),
        ("timezone", None),
        ("hour_seconds", 0),
        ("hour_seconds", 1.5),
        ("history_days", 0),
        ("public_urls", "https://appids.example"),
        ("public_urls", ["appids.example"]),
        ("public_urls", ["https://user:pa55@appids.example"]),
        ("public_urls", None),
        ("allowed_hosts", ["*.example"]),
        ("allowed_hosts", ["https://appids.example"]),
        ("allowed_hosts", [b"box"]),
    ],
)
def test_a_setting_that_can_t_be_used_is_named(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name} must ") as caught:
        ServiceSettings(**{name: value})
    assert caught.value.setting == name
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_beyond_loopback_a_token_is_required(host):
    with pytest.raises(ConfigurationError, match="^auth_token is required"):
        ServiceSettings(host=host)
    ServiceSettings(host=host, auth_token="token")
    ServiceSettings(host=host, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_on_loopback_no_token_is_required(host):
    assert ServiceSettings(host=host).auth_token is None


def test_the_token_is_not_shown():
    settings = ServiceSettings(auth_token=TOKEN)
    assert settings.auth_token == TOKEN
    for shown in (repr(settings), str(vars(settings)), f"{settings.auth_token}"):
        assert TOKEN not in shown
    assert replace(settings, port=1) == replace(settings, port=1, auth_token=TOKEN)
    assert TOKEN not in str(vars(Authenticator(settings.auth_token)))


@pytest.mark.parametrize(
    "options",
    [
        {"auth_token": TOKEN, "port": -1},
        {"auth_token": f"{TOKEN} and more"},
        {"auth_token": TOKEN, "database": "nonsense"},
        {"auth_token": TOKEN, "unknown": 1},
        {"database": f"mysql://appids:{TOKEN}@db/appids"},
        {"database": f"postgresql://appids:{TOKEN}@db/appids", "port": -1},
        {"database": f"sqlite+pysqlcipher://:{TOKEN}@/appids.db"},
        {"database": f"appids:{TOKEN}@db"},
    ],
)
def test_no_refusal_shows_a_token_or_a_password(options):
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        ServiceSettings(**options)
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            f"postgresql://appids:{TOKEN}@db.example:5433/appids?sslmode=require",
            "//db.example:5433/a",
        ),
        (f"postgresql://appids:{TOKEN}@/appids?host=/run", "postgresql:///appids"),
        (f"postgresql:///appids?password={TOKEN}&user=a@b", "postgresql:///appids"),
        (f"postgresql://appids:{TOKEN}@[::1/appids", "postgresql"),
    ],
)
def test_a_database_is_described_without_its_password(url, shown):
    described = describe_database(url)
    assert shown in described
    assert TOKEN not in described


def test_a_directory_that_is_missing_is_told_from_one_that_can_t_be_written(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/no/appids.db"
    with pytest.raises(ConfigurationError) as caught:
        serve(ServiceSettings(port=0, database=url))
    assert caught.value.setting == "database"
    assert caught.value.problem == f"{url} can't be opened: there is no directory {tmp_path}/no"
    # What can't be opened by anybody, root included.
    (tmp_path / "appids.db").symlink_to(tmp_path / "gone" / "appids.db")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigurationError, match=f"the directory {tmp_path} can't be written"):
        serve(ServiceSettings(port=0, database=f"sqlite:///{tmp_path}/appids.db"))


@pytest.mark.parametrize("options", ["", "?timeout=5"])
def test_where_the_database_is_can_be_told(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///appids.db", f"sqlite:///{tmp_path}/appids.db"):
        assert ServiceSettings(database=url + options).database_file == f"{tmp_path}/appids.db"


def test_an_address_that_is_not_ours_is_named(tmp_path):
    database = f"sqlite:///{tmp_path}/appids.db"
    with pytest.raises(ConfigurationError) as caught:
        serve(ServiceSettings(host="nobody.invalid", database=database, insecure=True))
    assert caught.value.setting == "host"
    assert caught.value.problem.startswith("'nobody.invalid' is not a usable address")
