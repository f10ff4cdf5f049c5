"""What a failed exchange is called."""

from __future__ import annotations

import pytest

from appid_manager_client import AppIdClient, RequestTimeout, ServiceUnavailable
from tests.support.field import FieldService


def test_a_refused_connection_is_no_timeout() -> None:
    with FieldService() as service, AppIdClient(service.url) as client, service.refusing():
        with pytest.raises(ServiceUnavailable, match="refused") as caught:
            client.acquire_appid("p", max_retries=0)
    assert not isinstance(caught.value, RequestTimeout)
    assert caught.value.maybe_received is False
