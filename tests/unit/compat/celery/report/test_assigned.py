"""Settings that sources set."""

from __future__ import annotations

import ast

import pytest

from cloudq.compat.celery.report.assigned import assigned


def of(source: str) -> set[tuple[str, str, str]]:
    """What a source sets, with the kinds and verdicts."""
    return {(one.kind, one.name, one.verdict.name) for one in assigned(ast.parse(source), "f.py")}


@pytest.mark.parametrize(
    ("line", "kind", "name", "verdict"),
    [
        ("CELERY_TASK_ALWAYS_EAGER = True", "setting", "task_always_eager", "MAPS"),
        ("CELERY_BROKER_URL = 'redis://:secret@h'", "setting", "broker_url redis", "REFUSED"),
        ("CELERY_BROKER_URL = os.environ['URL']", "setting", "broker_url", "CHANGES"),
        ("CELERY_CACHE_BACKEND = x", "setting", "cache_backend", "REFUSED"),
        ("CELERY_TASK_SERIALIZER: str = 'json'", "setting", "task_serializer", "MAPS"),
        ("task_acks_late = False", "setting", "task_acks_late", "REFUSED"),
        ("app.conf.timezone = 'UTC'", "setting", "timezone", "MAPS"),
        ("app.conf.worker_concurrency = n", "setting", "worker_concurrency", "REFUSED"),
        ("app.conf.update(task_protocol=1)", "setting", "task_protocol", "REFUSED"),
        ("Celery('p', broker='sqs://', worker_pool='solo')", "setting", "worker_pool", "REFUSED"),
        ("app.conf.beat_schedule.update(more)", "setting", "beat_schedule", "REFUSED"),
        ("C = {'broker_url': u, 'timezone': 'UTC'}", "setting", "timezone", "MAPS"),
        ("app.conf.beat_schedule = {'nightly': {'schedule': crontab()}}", "schedule", "nightly", "REFUSED"),
        ("CELERY_TASK_ROUTES = {'a.*': {'queue': 'q'}}", "route", "a.*", "MAPS"),
        ("CELERY_TASK_ROUTES = {'a.*': {'exchange': 'q'}}", "route", "a.*", "REFUSED"),
    ],
)
def test_a_setting_is_found_however_it_is_set(line, kind, name, verdict) -> None:
    """By a name, an attribute, a call or a mapping; a URL by its scheme alone."""
    assert (kind, name, verdict) in of(line)
    assert "secret" not in repr(of(line))


@pytest.mark.parametrize(
    "line",
    ["timezone = 'UTC'", "imports = []", "CELERY_OWN = 1", "d = {'timezone': 1, 'include': 2}", "x.conf.own = 1"],
)
def test_what_may_be_anybodys_is_none(line) -> None:
    """A name that other programs have too, or that Celery hasn't."""
    assert set() == of(line)
