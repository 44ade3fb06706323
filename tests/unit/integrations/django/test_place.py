"""The app behind a back end: one for all threads, until the settings change."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from cloudq.testing import run_all
from tests.unit.integrations.django.conftest import Make


def test_all_threads_have_one_app(make: Make) -> None:
    """Django makes a back end anew in each thread; connections and batches are the process's."""
    from cloudq.integrations.django.contract import task_backends

    backend = make()
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(task_backends["default"]))
    thread.start()
    thread.join()
    assert seen[0] is not backend
    assert seen[0].app is backend.app


def test_other_settings_have_another_app(make: Make) -> None:
    """As in a test that overrides them."""
    first, second = make(), make(results=True)
    assert first.app is not second.app
    assert first._place.results is None


def test_without_a_url_it_is_the_default_app(django_site: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose worker runs its own tasks besides. Of several back ends, a task's own declares it."""
    from django.test import override_settings

    from cloudq.default_app import default
    from cloudq.integrations.django import place
    from cloudq.integrations.django.contract import task_backends
    from cloudq.testing import in_memory
    from tests.projects.django_site.reports import tasks

    monkeypatch.setattr(place, "_places", {})  # so that the other one is the first

    ours = "cloudq.integrations.django.CloudqBackend"
    other = {"BACKEND": ours, "QUEUES": ["mail"]}
    with (
        override_settings(TASKS={"mail": other, "default": {"BACKEND": ours, "QUEUES": ["default"]}}),
        in_memory(default),
    ):
        tasks.ran.clear()
        assert task_backends["mail"].app is task_backends["default"].app is default
        tasks.add.enqueue(1)
        tasks.add.using(backend="default").enqueue(2)
        assert ("default",) == default.tasks[tasks.add.module_path].queues
        run_all(default)
        assert [[1, None], [2, None]] == tasks.ran


def test_back_ends_that_share_an_app_say_the_same(django_site: None) -> None:
    """A message doesn't say by which of them it was sent."""
    from django.test import override_settings

    from cloudq.integrations.django.contract import task_backends

    ours = "cloudq.integrations.django.CloudqBackend"
    same, other = {"BACKEND": ours}, {"BACKEND": ours, "OPTIONS": {"results": True}}
    with override_settings(TASKS={"default": same, "mail": same}):
        assert [] == [error for alias in ("mail", "default") for error in task_backends[alias].check()]
    with override_settings(TASKS={"default": same, "mail": other}):
        assert [["cloudq.E105"]] * 2 == [
            [error.id for error in backend.check()] for backend in map(task_backends.__getitem__, ("mail", "default"))
        ]


def test_the_end_is_told_from_a_loop_off_the_loop(django_site: None) -> None:
    """Where Django refuses what a receiver may do with the database."""
    from cloudq.integrations.django import place
    from cloudq.integrations.django.contract import task_finished

    where: list[threading.Thread] = []

    def receive(**_: object) -> None:
        where.append(threading.current_thread())

    async def tell() -> None:
        place._finished(object, _Result())

    task_finished.connect(receive)
    try:
        asyncio.run(tell())
        place._finished(object, _Result())
    finally:
        task_finished.disconnect(receive)
    assert [False, True] == [thread is threading.main_thread() for thread in where]


class _Result:
    """As much of one as Django's own receiver logs."""

    id = status = "x"
    task = type("T", (), {"module_path": "a.b"})


def test_what_cannot_be_declared_is_unknown(make: Make, caplog: Any) -> None:
    """A message must not end a worker for what the settings say of its task; `manage.py check` says it."""
    from tests.projects.django_site.reports.names import NAMES

    backend = make(tasks={NAMES.add: {"lease": 5}})
    assert backend.app.runtime.handlers.get(NAMES.add) is None
    assert "lease" in caplog.text
