"""What a pool tells those who get no lease: the errors, with their facts."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import datetime, timezone

from ..errors import AppIdManagerError, PoolClosed, PoolTimeout


@dataclass(frozen=True, slots=True)
class Refusals:
    """Makes the errors of one pool."""

    product_name: str
    service: str

    def closed(self) -> PoolClosed:
        """The pool was closed."""
        return PoolClosed(
            f"the pool of {self.product_name} at {self.service} is closed", service=self.service
        )

    def too_much(self, min_remaining: float, hour_length: float) -> ValueError:
        """No hour is long enough."""
        return ValueError(
            f"min_remaining must be less than an hour ({hour_length:g} s), not {min_remaining:g}"
        )

    def timeout(
        self, waited: float, figures: str, available_at: float | None, last_error: Exception | None
    ) -> PoolTimeout:
        """Nothing became free in time. A service that fails is the cause, if it does."""
        about = f"no lease of product {self.product_name!r} at {self.service}"
        message = f"{about} became free in {waited:.1f} s: {figures}"
        if available_at is not None:
            moment = datetime.fromtimestamp(available_at, timezone.utc)
            message += f"; none can be free before {moment:%Y-%m-%d %H:%M:%S} UTC"
        if last_error is not None:
            message += f"; the service fails: {last_error}"
        error = PoolTimeout(
            message,
            service=self.service,
            product_name=self.product_name,
            waited=waited,
            available_at=available_at,
        )
        if isinstance(last_error, AppIdManagerError):
            error.__cause__ = copy.copy(last_error)
        return error
