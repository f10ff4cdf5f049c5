"""Looks for a token wherever an error can hold one: text, pickle, chained errors, and locals."""

from __future__ import annotations

import pickle
import traceback

TOKEN = "tok-9c1e-very-secret-5d7f"


def assert_hidden(error: BaseException, secret: str = TOKEN) -> None:
    """Fail if what a log, a crash reporter or a task queue keeps of `error` holds `secret`."""
    for one in family(error):
        assert secret not in repr(one) and secret not in str(one), f"in the text of {type(one)}"
        assert secret.encode() not in pickle.dumps(one), f"in the pickle of {type(one)}"
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The test's own frames hold it.
    for entry in frames(report):
        if "/tests/" in entry.filename:
            continue
        for name, shown in (entry.locals or {}).items():
            assert secret not in shown, f"in the local {name!r} of {entry.name} ({entry.filename})"
    text = "".join(traceback.format_exception(error))
    assert secret not in text


def family(error: BaseException) -> list[BaseException]:
    """An error and all that is chained to it."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and not any(one is other for other in found):
            found.append(one)
            todo += [one.__cause__, one.__context__]
    return found


def frames(report: traceback.TracebackException) -> list[traceback.FrameSummary]:
    found = list(report.stack)
    for chained in (report.__cause__, report.__context__):
        if chained is not None:
            found += frames(chained)
    return found
