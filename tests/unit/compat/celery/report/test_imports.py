"""What a program imports of Celery."""

from __future__ import annotations

import ast

import pytest

from cloudq.compat.celery.report.imports import imported
from cloudq.compat.celery.verdicts import Verdict


def of(source: str) -> list[tuple[str, str]]:
    """The imports of a line, with their verdicts."""
    (node,) = ast.parse(source).body
    return [(name, entry.verdict.name) for name, entry in imported(node)]  # type: ignore[arg-type]  # it is one


@pytest.mark.parametrize(
    ("line", "verdicts"),
    [
        ("from celery import Celery, shared_task", [("celery.Celery", "MAPS"), ("celery.shared_task", "MAPS")]),
        ("import celery", [("celery", "MAPS")]),
        ("from celery import chain", [("celery.chain", "CHANGES")]),
        ("from celery.exceptions import Retry", [("celery.exceptions.Retry", "MAPS")]),
        ("from celery.result import AsyncResult, GroupResult", [
            ("celery.result.AsyncResult", "MAPS"), ("celery.result.GroupResult", "REFUSED")]),
        ("from celery import bootsteps, states", [("celery.bootsteps", "REFUSED"), ("celery.states", "MAPS")]),
        ("from celery.utils.log import get_task_logger", [("celery.utils.log.get_task_logger", "MAPS")]),
        ("from celery.utils.log import get_logger", [("celery.utils.log.get_logger", "REFUSED")]),
        ("from celery.app.task import Task", [("celery.app.task.Task", "CHANGES")]),
        ("from celery._state import get_current_task", [("celery._state.get_current_task", "CHANGES")]),
        ("from celery.utils import uuid", [("celery.utils.uuid", "REFUSED")]),
        ("from sentry_sdk.integrations.celery import CeleryIntegration", [
            ("sentry_sdk.integrations.celery.CeleryIntegration", "REFUSED")]),
        ("from opentelemetry.instrumentation import celery", [("opentelemetry.instrumentation.celery", "REFUSED")]),
        ("from sentry_sdk import capture_exception", []),
        ("import sentry_sdk, opentelemetry.trace", []),
        ("from celery.schedules import crontab", [("celery.schedules.crontab", "REFUSED")]),
        ("import celery.signals", [("celery.signals", "REFUSED")]),
        ("from kombu import Queue", [("kombu.Queue", "REFUSED")]),
        ("import django_celery_beat.models", [("django_celery_beat.models", "REFUSED")]),
        ("from celery.nowhere import thing", [("celery.nowhere.thing", "REFUSED")]),
        ("from .celery import app", []),
        ("from proj.celery import app", []),
        ("import os", []),
        ("import celeryconfig", []),
    ],
)  # fmt: skip
def test_an_import_is_there_or_has_something_in_its_place(line, verdicts) -> None:
    """A module of the program's own that is called so is none of Celery's."""
    assert verdicts == of(line)


@pytest.mark.parametrize("name", ["celery.schedules", "kombu", "celery.signals"])
def test_what_has_no_counterpart_says_what_to_do(name) -> None:
    """In words."""
    (node,) = ast.parse(f"import {name}").body
    assert all(entry.ours for _, entry in imported(node))  # type: ignore[arg-type]  # it is one
    assert all(entry.verdict is Verdict.REFUSED for _, entry in imported(node))  # type: ignore[arg-type]  # as above
