"""The service's log: one line an event, as text and as JSON, and never more than can be read."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from appid_manager_client.server.log import BoundedEvents, log_event, make_formatter

LOGGER = "appid_manager_client.server"
HOSTILE = 'p\n{"x"}\x1b[2J\u202e\ud800'


@pytest.fixture(autouse=True)
def every_level(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)


def lines(caplog, log_format):
    formatter = make_formatter(log_format, "appids")
    return [formatter.format(record) for record in caplog.records]


def test_an_event_is_one_line_of_text_whatever_callers_sent(caplog):
    log_event(
        logging.WARNING, "init", "init of %(product)s: %(ended)d ended", product=HOSTILE, ended=2
    )
    (line,) = lines(caplog, "text")
    assert line.startswith("appids: 20")
    assert line.endswith(r'Z WARNING: init of p\n{"x"}\x1b[2J\u202e\ud800: 2 ended')
    assert line.isprintable()


def test_an_event_is_one_json_object_with_its_fields(caplog):
    log_event(logging.WARNING, "init", "init of %(product)s", product=HOSTILE, ended=2)
    (line,) = lines(caplog, "json")
    assert line.isascii() and line.isprintable()
    facts = json.loads(line)
    assert facts.pop("time").endswith("Z")
    assert facts == {
        "level": "WARNING",
        "event": "init",
        "message": r'init of p\n{"x"}\x1b[2J\u202e\ud800',
        "product": HOSTILE,
        "ended": 2,
    }


def test_a_line_of_another_library_is_json_too_with_its_traceback(caplog):
    try:
        raise ValueError("bad\x1b")
    except ValueError:
        logging.getLogger("uvicorn.error").error("it %s", "broke\n", exc_info=sys.exc_info())
    facts = json.loads(lines(caplog, "json")[0])
    assert (facts["logger"], facts["message"]) == ("uvicorn.error", r"it broke\n")
    assert facts["traceback"][-1] == r"ValueError: bad\x1b"
    text = lines(caplog, "text")[0]
    assert text.endswith("\n" + r"ValueError: bad\x1b") and "\x1b" not in text


def test_what_anybody_can_cause_is_bounded_and_the_rest_is_counted(caplog):
    now = [0.0]
    events = BoundedEvents(burst=3, period=60, clock=lambda: now[0])
    for number in range(10):
        events.log(logging.WARNING, "unauthorized", "no %(n)d", n=number)
    events.log(logging.WARNING, "foreign_origin", "another name %(n)d", n=0)
    assert caplog.messages == ["no 0", "no 1", "no 2", "another name 0"]
    now[0] = 60.0
    events.log(logging.WARNING, "unauthorized", "no %(n)d", n=10)
    assert caplog.messages[-1] == "no 10 (and 7 more before)"
    assert caplog.records[-1].fields == {"n": 10, "left_out": 7}
    now[0] = 200.0
    events.log(logging.WARNING, "unauthorized", "no %(n)d", n=11)
    assert caplog.messages[-1] == "no 11"
