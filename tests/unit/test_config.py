"""Settings: arguments before variables before defaults; errors name the setting, never a secret."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appid_manager_client import AppIdClient
from appid_manager_client.checks import check_seconds
from appid_manager_client.config import Settings, check_url
from appid_manager_client.errors import ConfigurationError
from appid_manager_client.secret import Token
from tests.support.secrets import TOKEN, assert_hidden

URL = "http://127.0.0.1:5000"


def test_the_documented_defaults_hold_where_nothing_is_set() -> None:
    settings = Settings.resolve(environ={})
    assert settings.base_url == "http://101.64.234.17:8888"
    assert settings.timeout == 5
    assert settings.auth_token is None
    assert settings.journal is False


def test_the_environment_comes_before_the_defaults(tmp_path: Path) -> None:
    settings = Settings.resolve(
        environ={
            "APPID_MANAGER_URL": "http://a:1/",
            "APPID_MANAGER_TIMEOUT": "2.5",
            "APPID_MANAGER_TOKEN": TOKEN,
            "APPID_MANAGER_JOURNAL": str(tmp_path),
        }
    )
    assert (settings.base_url, settings.timeout) == ("http://a:1", 2.5)
    assert settings.auth_token == TOKEN
    assert settings.journal == tmp_path


def test_arguments_come_before_the_environment(tmp_path: Path) -> None:
    environ = {
        "APPID_MANAGER_URL": "http://a:1",
        "APPID_MANAGER_TIMEOUT": "2.5",
        "APPID_MANAGER_TOKEN": "other",
        "APPID_MANAGER_JOURNAL": "/elsewhere",
    }
    settings = Settings.resolve("http://b:2", 7, TOKEN, tmp_path, environ)
    assert (settings.base_url, settings.timeout) == ("http://b:2", 7)
    assert (settings.auth_token, settings.journal) == (TOKEN, tmp_path)


def test_an_argument_is_not_spoilt_by_a_bad_variable_that_it_overrides() -> None:
    environ = {"APPID_MANAGER_URL": "nonsense", "APPID_MANAGER_TIMEOUT": "soon"}
    assert Settings.resolve(URL, 1, environ=environ).timeout == 1


def test_an_empty_variable_counts_as_unset() -> None:
    environ = dict.fromkeys(
        [f"APPID_MANAGER_{name}" for name in ("TIMEOUT", "TOKEN", "JOURNAL")], ""
    )
    assert Settings.resolve(environ=environ) == Settings.resolve(environ={})


def test_an_empty_url_variable_is_refused_where_it_would_be_used() -> None:
    environ = {"APPID_MANAGER_URL": ""}
    with pytest.raises(ConfigurationError) as caught:
        Settings.resolve(environ=environ)
    assert_names(caught.value, "APPID_MANAGER_URL")
    assert "is empty" in str(caught.value)
    assert Settings.resolve(URL, environ=environ).base_url == URL


def test_a_journal_can_be_turned_off_where_the_environment_turns_it_on() -> None:
    environ = {"APPID_MANAGER_JOURNAL": "1"}
    assert Settings.resolve(environ=environ).journal is True
    assert Settings.resolve(journal=False, environ=environ).journal is False


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False), ("off", False)],
)
def test_the_journal_s_variable_takes_words(word: str, meaning: bool) -> None:
    assert Settings.resolve(environ={"APPID_MANAGER_JOURNAL": word}).journal is meaning


# The URL


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("http://host", "http://host"),
        ("http://host/", "http://host"),
        ("http://host:80//", "http://host:80"),
        ("https://host.example:8443/appids/", "https://host.example:8443/appids"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_url_loses_its_trailing_slash_and_nothing_else(url: str, used: str) -> None:
    assert check_url(url) == used


def assert_names(error: ConfigurationError, setting: str) -> None:
    """The error tells its setting apart from its problem, for those who call it otherwise."""
    assert error.setting == setting
    assert str(error) == f"{setting} {error.problem}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "host",
        "host:5000",
        "localhost:5000",
        "//host",
        "ftp://host",
        "http://",
        "http:///path",
        "http://:80",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "http://[::1",
        "http://host?x=1",
        "http://host/?",
        "http://host/#top",
        "http://ho st",
        "http://host\n",
        "http://host/a\tb",
        "http://host/\x7f",
        "http://hôte",
    ],
)
def test_a_malformed_url_is_named_with_what_it_held(url: str) -> None:
    assert_names(_failure(url), "base_url")
    if url:
        with pytest.raises(ConfigurationError) as caught:
            Settings.resolve(environ={"APPID_MANAGER_URL": url})
        assert_names(caught.value, "APPID_MANAGER_URL")


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{TOKEN}@host",
        f"http://{TOKEN}@host",
        f"http://user:{TOKEN}@host:port",
        f"http://user:{TOKEN}@[::1",
        f"http://user:{TOKEN}@h\u2100st",
        f"user:{TOKEN}@host:5000",
        f"http:/user:{TOKEN}@host",
        f"ftp://user:{TOKEN}@host",
        f"http://user:{TOKEN}@host/?q",
        f"http://user:{TOKEN}@",
        f"http://user:{TOKEN}%40host",
        f"http://user:{TOKEN}\uff20host",
    ],
)
def test_a_password_in_a_url_is_refused_and_never_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        check_url(url)
    assert "APPID_MANAGER_TOKEN" in str(caught.value)
    assert_hidden(caught.value)
    assert_hidden(_failure(url))
    monkeypatch.setenv("APPID_MANAGER_URL", url)
    assert_hidden(_failure())
    assert_hidden(_failure(timeout=-1))


@pytest.mark.parametrize("url", [f"http://host/?key={TOKEN}", f"http://host/#{TOKEN}"])
def test_a_query_of_a_url_is_refused_and_not_shown(url: str) -> None:
    error = _failure(url)
    assert "after 'http://host/'" in str(error)
    assert_hidden(error)


@given(st.text())
def test_any_text_is_either_a_usable_url_or_a_configuration_error(text: str) -> None:
    try:
        used = check_url(text)
    except ConfigurationError as error:
        assert str(error).startswith("base_url ")
    else:
        assert used.startswith(("http://", "https://"))


# The timeout


@pytest.mark.parametrize("wrong", [0, -1, 0.0, math.inf, -math.inf, math.nan, 86401, 10**400])
def test_a_timeout_out_of_bounds_is_named(wrong: float) -> None:
    with pytest.raises(ConfigurationError, match="^timeout must be more than 0"):
        AppIdClient(URL, wrong)


@pytest.mark.parametrize("held", ["soon", "5s", "0", "-3", "nan", "inf", "1e999", "5,5"])
def test_a_bad_timeout_in_the_environment_names_the_variable_and_what_it_held(held: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.resolve(environ={"APPID_MANAGER_TIMEOUT": held})
    assert_names(caught.value, "APPID_MANAGER_TIMEOUT")
    assert str(caught.value).startswith("APPID_MANAGER_TIMEOUT must be")
    assert repr(held) in str(caught.value)


@given(st.one_of(st.integers(), st.floats(allow_nan=True)))
def test_seconds_that_pass_are_finite_and_not_negative(value: float) -> None:
    try:
        passed = check_seconds(value, "margin")
    except ValueError as error:
        assert str(error).startswith("margin must be at least 0")
    else:
        assert passed >= 0 and math.isfinite(passed)


@pytest.mark.parametrize("wrong", ["1", None, True, 1j])
def test_seconds_of_another_type_are_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="margin must be a number of seconds"):
        check_seconds(wrong, "margin")


# The token


def test_a_token_is_never_sent_to_the_built_in_address(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.resolve(auth_token=TOKEN, environ={})
    assert settings.auth_token is None and settings.token_withheld
    with AppIdClient(auth_token=TOKEN):
        pass
    assert "APPID_MANAGER_URL" in caplog.text and TOKEN not in caplog.text
    assert "the token that is configured is not sent there" in caplog.text


def test_a_client_says_when_it_uses_the_built_in_address(caplog: pytest.LogCaptureFixture) -> None:
    with AppIdClient(URL):
        pass
    assert caplog.records == []
    with AppIdClient():
        pass
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "using the built-in default http://101.64.234.17:8888" in record.getMessage()
    assert "token" not in record.getMessage()


def test_an_event_hook_that_can_t_be_called_is_refused() -> None:
    hook: Any = 3
    with pytest.raises(TypeError, match="^on_event must be callable, not int$"):
        AppIdClient(URL, on_event=hook)


def test_a_token_goes_to_the_built_in_address_when_that_was_configured() -> None:
    settings = Settings.resolve("http://101.64.234.17:8888", auth_token=TOKEN, environ={})
    assert settings.auth_token == TOKEN and not settings.token_withheld


@pytest.mark.parametrize("wrong", ["", " ", "a b", "qq\n", "qq\r\nX: y", "qö", "q\0q"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(wrong: str) -> None:
    error = _failure(URL, auth_token=wrong)
    assert_names(error, "auth_token")
    assert "holds no usable token" in str(error)
    assert not wrong.strip() or wrong.strip() not in str(error)


@pytest.mark.parametrize(
    ("setting", "kind", "wrong"),
    [
        *(("base_url", "a str", value) for value in (5000, b"http://host", True, ["http://host"])),
        *(("timeout", "a number of seconds", value) for value in ("5", b"5", True, [5])),
        *(("auth_token", "a str", value) for value in (7, b"token", True)),
        *(("journal", "a directory or a bool", value) for value in (7, 1.5, ["dir"])),
    ],
)
def test_a_setting_of_another_type_is_a_type_error(setting: str, kind: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{setting} must be {kind}"):
        AppIdClient(**{"base_url": URL, setting: wrong})


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "{:>40}".format,
        lambda token: f"{token}",
        lambda token: "%s %r" % (token, token),
        lambda token: repr([token, {"key": token}]),
    ],
)
def test_a_token_is_not_shown_by_text_made_from_it(shown: Any) -> None:
    token = Token(TOKEN)
    assert TOKEN not in shown(token)
    assert token.encode() == TOKEN.encode()


def test_a_token_that_is_wrapped_again_stays_what_it_is() -> None:
    assert Token(Token(TOKEN)) == TOKEN
    assert Settings.resolve(URL, auth_token=Token(TOKEN), environ={}).auth_token == TOKEN


def test_neither_settings_nor_a_client_show_the_token() -> None:
    settings = Settings.resolve(URL, auth_token=TOKEN, environ={})
    with AppIdClient(URL, auth_token=TOKEN) as client:
        assert TOKEN not in repr(settings) + repr(client) + repr(vars(client))
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(client)


@pytest.mark.parametrize(
    ("variables", "args", "options"),
    [
        ({"URL": "nonsense"}, (), {}),
        ({"URL": URL, "TIMEOUT": "soon"}, (), {}),
        ({}, (URL, -1), {}),
        ({}, (URL,), {"journal": "a\0b"}),
        ({}, (URL,), {"auth_token": TOKEN + "\n"}),
        ({}, ("nonsense",), {"auth_token": TOKEN}),
        ({}, (URL, -1), {"auth_token": TOKEN}),
    ],
)
def test_a_refusal_shows_no_token_not_even_in_the_locals_of_its_traceback(
    variables: dict[str, str],
    args: tuple[Any, ...],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, held in {"TOKEN": TOKEN, **variables}.items():
        monkeypatch.setenv(f"APPID_MANAGER_{name}", held)
    assert_hidden(_failure(*args, **options))


def _failure(*args: Any, **options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        AppIdClient(*args, **options)
    return caught.value


# The journal


@pytest.mark.parametrize("wrong", ["", "a\0b", b"bytes"])
def test_a_journal_that_names_no_directory_is_refused(wrong: Any) -> None:
    with pytest.raises((ConfigurationError, TypeError), match="^journal must"):
        Settings.resolve(journal=wrong, environ={})
