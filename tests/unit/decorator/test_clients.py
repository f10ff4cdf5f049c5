"""Real leases of a real service, the default client, and products that depend on the call."""

import asyncio

import pytest

from appid_manager_client import (
    INJECTED,
    AppIdClient,
    NoAppIdAvailable,
    ProductNotFound,
    get_default_client,
    set_default_client,
    uses_appid,
)
from appid_manager_client.testing import LocalService

from . import kinds


@pytest.fixture(scope="module")
def service():
    with LocalService() as running:
        yield running


@pytest.fixture
def client(service):
    with AppIdClient(service.url) as client:
        client.init_product("stt", {"stt1": 1, "stt2": 2, "stt3": 3})
        client.init_product("tts", {"tts1": 1})
        yield client
        assert in_use(client, "stt") == in_use(client, "tts") == []


def in_use(client, product):
    return [e["appid"] for e in client.get_status(product)["appids"] if e["status"] == "in_use"]


@pytest.mark.parametrize("kind", kinds.EVERY)
def test_a_call_leases_an_appid_and_gives_it_back(client, kind):
    job = uses_appid("stt", client=client)(
        kind(lambda lease: (lease.appid, lease.held, in_use(client, "stt")))
    )
    assert kinds.finish(job(), asyncio.run) == ("stt1", True, ["stt1"])


@pytest.fixture
def no_default_client():
    set_default_client(None)
    yield
    set_default_client(None)


@pytest.mark.usefixtures("no_default_client")
def test_the_default_client_is_asked_for_at_each_call(monkeypatch, service, client):
    @uses_appid("stt")
    def job(*, lease=INJECTED):
        return lease.appid

    monkeypatch.setenv("APPID_MANAGER_URL", service.url)
    assert job() == "stt1"
    get_default_client().close()
    set_default_client(client)
    assert job() == "stt2"


def test_the_product_may_depend_on_the_arguments(client):
    @uses_appid(lambda text, speech=False: "tts" if speech else "stt", client=client)
    def job(text, speech=False, *, lease=INJECTED):
        return lease.product_name

    assert [job("a"), job("b", speech=True)] == ["stt", "tts"]


def test_the_product_of_a_method_may_depend_on_its_instance(client):
    class Job:
        product = "stt"

        @uses_appid(lambda self, x: self.product, client=client)
        def run(self, x, *, lease=INJECTED):
            return lease.product_name

        @uses_appid(lambda cls, x: cls.product, client=client)
        @classmethod
        def above(cls, x, *, lease=INJECTED):
            return lease.product_name

        @classmethod
        @uses_appid(lambda cls, x: cls.product, client=client)
        def below(cls, x, *, lease=INJECTED):
            return lease.product_name

        @uses_appid(lambda x: x, client=client)
        @staticmethod
        def static(x, *, lease=INJECTED):
            return lease.product_name

    class Speech(Job):
        product = "tts"

    job = Job()
    assert job.run(1) == "stt"
    assert Speech.above(1) == "tts"
    assert Job.below(1) == "stt"
    client.init_product("tts", {"tts1": 1})
    assert Job.static("tts") == "tts"
    client.init_product("stt", {"stt1": 1, "stt2": 2})
    assert Job.run(job, 1) == "stt"
    plain = Job.run.__wrapped__.__get__(job)
    assert uses_appid(lambda x: x, client=client)(plain)("stt") == "stt"


def test_a_product_that_comes_out_wrong_is_an_error_before_anything_is_sent(client):
    job = uses_appid(lambda: None, client=client)(lambda: "ran")
    with pytest.raises(TypeError, match="product_name must be a str, not NoneType"):
        job()


def test_an_unknown_product_fails_at_once_and_the_body_does_not_run(client):
    ran = []
    job = uses_appid("nothing", client=client)(lambda: ran.append(1))
    with pytest.raises(ProductNotFound):
        job()
    assert not ran


def test_the_options_reach_the_lease(client, service):
    @uses_appid("tts", client=client, timeout=0, holder="billing job", ttl=30)
    def job():
        return service.history("tts")[0]["holder"]

    assert job() == "billing job"
    with pytest.raises(NoAppIdAvailable):
        job()


def test_calls_share_the_appid_of_a_pool_within_the_hour(client):
    with client.pool("tts", max_size=1) as pool:

        @uses_appid(pool=pool, timeout=5, min_remaining=1)
        def job(*, lease=INJECTED):
            return lease.appid, pool.get_stats().checked_out

        @uses_appid(pool=pool)
        async def coroutine(*, lease=INJECTED):
            return lease.appid

        assert [job(), job()] == [("tts1", 1)] * 2
        assert asyncio.run(coroutine()) == "tts1"
        assert pool.get_stats().checked_out == 0


def test_a_call_that_raises_hands_the_error_to_its_pool(client):
    with client.pool("stt", max_size=1) as pool:

        @uses_appid(pool=pool)
        def job(fails, *, lease=INJECTED):
            if fails:
                raise KeyError(lease.appid)
            return lease.appid

        with pytest.raises(KeyError, match="stt1"):
            job(True)
        assert job(False) == "stt2"
