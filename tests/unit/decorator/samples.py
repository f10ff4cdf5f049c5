"""A class with decorated methods of every kind, to be bound, pickled and inspected."""

from functools import cached_property

from appid_manager_client import INJECTED, Lease, uses_appid

from .fakepool import shared_pool

leased = uses_appid(pool=shared_pool)


class Job:
    def __init__(self, name: str = "job") -> None:
        self.name = name

    @leased
    def run(self, x: int, lease: Lease = INJECTED) -> object:
        return self.name, x, lease.appid

    @leased
    @classmethod
    def above_class(cls, x: int, *, lease: Lease = INJECTED) -> object:
        return cls.__name__, x, lease.appid

    @classmethod
    @leased
    def below_class(cls, x: int, *, lease: Lease = INJECTED) -> object:
        return cls.__name__, x, lease.appid

    @leased
    @staticmethod
    def above_static(x: int, *, lease: Lease = INJECTED) -> object:
        return "static", x, lease.appid

    @staticmethod
    @leased
    def below_static(x: int, *, lease: Lease = INJECTED) -> object:
        return "static", x, lease.appid

    @property
    @leased
    def cost(self) -> object:
        return self.name, len(shared_pool.held)

    @cached_property
    @leased
    def once(self) -> object:
        return self.name, len(shared_pool.held)

    @leased
    def __call__(self, x: int, *, lease: Lease = INJECTED) -> object:
        return self.name, x, lease.appid

    @leased
    def __enter__(self) -> object:
        return len(shared_pool.held)

    @leased
    def __exit__(self, *error: object) -> None:
        return None
