"""What callers hear while the service can do nothing."""

from __future__ import annotations

import json

from appid_manager_client.server.http import answers
from appid_manager_client.server.operations import Unavailable


def test_the_answer_names_the_reason_and_says_when_to_ask_again() -> None:
    reply = answers.unavailable(Unavailable("full", "the disk is full", 5))

    assert reply.status == 503
    assert (b"retry-after", b"5") in reply.headers
    assert json.loads(reply.body) == {
        "error": "unavailable",
        "reason": "full",
        "message": "the disk is full",
    }
