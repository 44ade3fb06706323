"""Ten tasks, each with something else of Celery's."""

from __future__ import annotations

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from shop.app import app
from shop.world import Down, world

__all__ = ["Reject", "Retry", "SoftTimeLimitExceeded"]  # for the tests


class Recorded(Task):
    """Writes down what became of each run."""

    def on_success(self, retval, task_id, args, kwargs):
        world.hooks.append(("success", self.name))

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        world.hooks.append(("failure", self.name, type(exc).__name__))


@app.task
def add(x, y):
    return x + y


@shared_task(bind=True)
def mail_welcome(self, address, *, language="en"):
    world.mails.append((address, language, self.request.id, self.request.retries))
    return self.request.id


@app.task(bind=True, max_retries=3, default_retry_delay=30)
def charge(self, order):
    try:
        return world.bank.charge(order)
    except Down as down:
        raise self.retry(exc=down, countdown=2**self.request.retries) from down


@app.task(autoretry_for=(Down,), retry_backoff=True, retry_backoff_max=60, retry_jitter=False, max_retries=4)
def fetch(url):
    return world.web.get(url)


@shared_task
def mail_reminder(user):
    world.mails.append((user, "reminder"))


@app.task(expires=3600)
def discount(user):
    world.discounts.append(user)


@app.task(ignore_result=True, rate_limit="600/m")
def resize(image, width=100, height=100):
    world.images.append((image, width, height))


@app.task(bind=True, soft_time_limit=30)
def report(self, days):
    try:
        return world.count(days)
    except SoftTimeLimitExceeded:
        return "too long"


@app.task(base=Recorded, acks_late=True, reject_on_worker_lost=True)
def export(kind):
    if kind == "none":
        raise Ignore
    if kind == "broken":
        raise Reject("broken", requeue=False)
    if kind == "bad":
        raise ValueError(kind)
    return kind


@shared_task(bind=True, name="shop.close", max_retries=1)
def close(self, day):
    if not world.closed:
        raise self.retry(countdown=60)
    return day
