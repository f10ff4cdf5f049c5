"""Text from outside in log lines and messages: escaped, whoever writes it and at every level."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import appid_manager_client
from appid_manager_client.errors import ConfigurationError, unusable
from appid_manager_client.text import get_logger, printable

PACKAGE = Path(appid_manager_client.__file__).parent

HOSTILE = {
    "newline": ("a\nb", r"a\nb"),
    "carriage return": ("a\rb", r"a\rb"),
    "escape sequence": ("\x1b[2Ja", r"\x1b[2Ja"),
    "bell and delete": ("\x07\x7f", r"\x07\x7f"),
    "C1 control": ("\x9b31m", r"\x9b31m"),
    "next line": ("a\x85b", r"a\x85b"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "bidi override": ("\u202egnp", r"\u202egnp"),
    "bidi isolate": ("\u2066a\u2069", r"\u2066a\u2069"),
    "zero width": ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
    "tag characters": ("\U000e0041", r"\U000e0041"),
    "half of a character": ("a\ud800", r"a\ud800"),
    "NUL": ("a\0", r"a\x00"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()
    printable(text).encode()


@pytest.mark.parametrize("text", ["", "stt_billing", "计费 Grüße", "a\\nb", 'it\'s "so"', "👍"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_is_not_text_is_shown_as_its_text() -> None:
    assert printable(17) == "17"
    assert printable(ValueError("a\nb")) == r"a\nb"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_a_log_line_is_printable_whatever_its_arguments_hold(
    caplog: pytest.LogCaptureFixture, level: int
) -> None:
    logger = get_logger("appid_manager_client.test_text")
    caplog.set_level(logging.DEBUG, logger.name)
    logger.log(level, "%s of %s after %.1f s: %s", "a\x1b[2J", "p\nq", 1.25, ValueError("\x9b"))
    (record,) = caplog.records
    assert record.getMessage() == r"a\x1b[2J of p\nq after 1.2 s: \x9b"


def test_a_log_line_that_is_printable_keeps_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    logger = get_logger("appid_manager_client.test_text")
    logger.warning("%s of %s", "a", "p")
    (record,) = caplog.records
    assert (record.msg, record.args) == ("%s of %s", ("a", "p"))


def test_an_error_has_a_printable_message_and_facts_as_they_came() -> None:
    error = unusable("bas\ne_url", "is \x1b[31m")
    assert str(error) == r"bas\ne_url is \x1b[31m"
    assert (error.setting, error.problem) == ("bas\ne_url", "is \x1b[31m")
    assert isinstance(error, ConfigurationError)


def test_every_module_gets_its_logger_here() -> None:
    """A logger that is made elsewhere escapes nothing."""
    paths = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "integrations").rglob("*.py")]
    elsewhere = [
        f"{path.name}:{node.lineno}"
        for path in paths
        if path != PACKAGE / "text.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("getLogger", "LoggerAdapter")
    ]
    assert elsewhere == []
