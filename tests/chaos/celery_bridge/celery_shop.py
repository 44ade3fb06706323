"""A shop of real Celery's, as it was before the switch: its broker and its queue are the environment's."""

from __future__ import annotations

import json
import os
from datetime import datetime

from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"])
app.conf.update(
    task_default_queue="celery",
    broker_transport_options=json.loads(os.environ.get("SHOP_OPTIONS", "{}")),
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="shop.add")
def add(n: int, note: str = "") -> None:
    raise NotImplementedError("nothing but the retries are run here")


@app.task(name="shop.ordered")
def ordered(n: int) -> None:
    raise NotImplementedError


@app.task(name="shop.at")
def at(n: int, moment: datetime) -> None:
    raise NotImplementedError


@app.task(name="shop.flaky", bind=True, max_retries=9)
def flaky(self, n: int) -> None:
    raise self.retry(countdown=3600)


@app.task(name="shop.gone")
def gone(n: int) -> None:
    raise NotImplementedError
