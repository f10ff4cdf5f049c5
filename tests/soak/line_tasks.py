"""The tasks of the soak of the line: each waits for its AppID, and sends the next one."""

from __future__ import annotations

import os
import time
from typing import Any

from appid_manager_client.integrations.celery import AppIdTask, appid_options
from celery import Celery

from tests.soak.line_notes import note_acquires
from tests.soak.line_worker import HELD, PRODUCT, TTL

note_acquires(os.environ["NOTES"], queued=True)
app = Celery("line", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)


@app.task(**appid_options(PRODUCT, ttl=TTL), bind=True, ignore_result=True)
def stand(self: AppIdTask) -> Any:
    time.sleep(HELD)
    self.apply_async()
