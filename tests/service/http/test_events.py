"""What the service logs of its calls: who, what, how many; never a token."""

from __future__ import annotations

import logging

import pytest
import requests

from appid_manager_client.server.http import slowing
from appid_manager_client.testing import LocalService

TOKEN = "s3cret-token"


@pytest.fixture
def service(caplog):
    caplog.set_level(logging.DEBUG, "appid_manager_client.server")
    with LocalService(auth_token=TOKEN) as running:
        running.clock.freeze()
        yield running


def events(caplog, name):
    return [record for record in caplog.records if getattr(record, "event", None) == name]


def call(service, name, token=TOKEN, **body):
    sent = {} if token is None else {"X-API-Key": token}
    return requests.post(f"{service.url}/api/appid/{name}", json=body, headers=sent, timeout=30)


def test_a_wrong_token_is_a_warning_with_the_address_that_sent_it(service, caplog):
    call(service, "acquire", token="wr0ng-token")
    call(service, "acquire", token=None)
    wrong, missing = events(caplog, "unauthorized")
    assert wrong.levelno == logging.WARNING
    assert wrong.fields["peer"].startswith("127.0.0.1:")
    assert (wrong.fields["problem"], missing.fields["problem"]) == ("wrong", "missing")
    assert "wr0ng" not in caplog.text and TOKEN not in caplog.text


def test_wrong_tokens_don_t_fill_the_disk(service, caplog, monkeypatch):
    monkeypatch.setattr(slowing, "_FREE", 1_000)
    for _ in range(30):
        call(service, "acquire", token="wr0ng-token")
    assert len(events(caplog, "unauthorized")) == 10


def test_an_acquire_that_is_refused_is_an_event_and_ten_a_minute_at_most(service, caplog):
    for _ in range(30):
        call(service, "acquire", productName="a\ntypo")
    found = events(caplog, "acquire_refused")
    assert len(found) == 10
    assert found[0].levelno == logging.INFO
    assert found[0].fields["code"] == "product_not_found"
    assert r"of product a\ntypo to token at 127.0.0.1:" in found[0].getMessage()
    call(service, "init", productName="p", appids={"a1": "1"})
    call(service, "acquire", productName="p"), call(service, "acquire", productName="p")
    assert len(events(caplog, "acquire_refused")) == 10, "who has to wait isn't refused"


def test_a_grant_is_a_detail_that_names_appid_and_caller(service, caplog):
    call(service, "init", productName="p", appids={"a\n1": "1"})
    lease = call(service, "acquire", productName="p").json()["leaseId"]
    (granted,) = events(caplog, "granted")
    assert granted.levelno == logging.DEBUG
    assert granted.fields["lease"] == lease and granted.fields["product"] == "p"
    assert r"AppID a\n1 of product p granted to token at 127.0.0.1:" in granted.getMessage()


def test_leases_that_expire_are_one_line_that_counts_them_by_product(service, caplog):
    for product, count in (("p", 2), ("q\n", 1)):
        call(service, "init", productName=product, appids={f"{product}{n}": n for n in range(3)})
        for _ in range(count):
            call(service, "acquire", productName=product, ttl=60)
    service.advance(61)
    service.status()
    (expired,) = events(caplog, "expired")
    assert expired.levelno == logging.INFO
    assert expired.fields == {"count": 3, "products": {"p": 2, "q\n": 1}}
    assert expired.getMessage() == r"3 leases expired, by product: {'p': 2, 'q\n': 1}"
    service.status()
    assert len(events(caplog, "expired")) == 1


def test_start_and_stop_say_what_serves_where(service, caplog):
    service.restart()
    (started,) = events(caplog, "started")
    assert started.fields["url"] == service.url
    assert started.fields["database"].endswith("appids.db")
    assert started.fields["hours"] == "hours of UTC"
    assert len(events(caplog, "stopped")) == 1
