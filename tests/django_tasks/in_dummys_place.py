"""Runs Django's own tests of its tasks with `CloudqBackend` in the place of its `DummyBackend`.

    python -m tests.django_tasks.in_dummys_place URL STORE OUT.json

in the environment of Django 6, with Django's tests on the import path. Into OUT.json goes each test's name, with `null`
if it passed, else with what it said. The dummy keeps what was enqueued in a list, `results`, and clears that: its tests
look there. Here `results` reads each from the store, so that what they compare is what was kept.
"""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path
from typing import Any

import django
from django.conf import settings

URL, STORE, OUT = sys.argv[1:] if __name__ == "__main__" else ("", "", "")
DUMMY = "django.tasks.backends.dummy.DummyBackend"

if not settings.configured:  # the back end is imported by its path, once more
    settings.configure(
        SECRET_KEY="x",  # noqa: S106 - of no use to anybody
        INSTALLED_APPS=["tasks"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()

from django.tasks import TaskBackendHandler  # noqa: E402 - its settings come first
from django.tasks.signals import task_enqueued  # noqa: E402

from cloudq.integrations.django import CloudqBackend  # noqa: E402

enqueued: list[str] = []


class InDummysPlace(CloudqBackend):
    """Ours, with what the dummy's tests look at."""

    @property
    def results(self) -> list[Any]:
        """What was enqueued since it was cleared, as the store has it."""
        return [self.get_result(id_) for id_ in enqueued]

    def clear(self) -> None:
        """Looks no more at what was enqueued until now."""
        enqueued.clear()


def note(*, task_result: Any, **_: object) -> None:
    """One was enqueued."""
    enqueued.append(task_result.id)


class Outcomes(unittest.TestResult):
    """Each test's outcome by its name; of one with subtests, the first that failed."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, str | None] = {}

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's names
        super().startTest(test)
        self.by_name[test.id()] = None

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._failed(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._failed(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self.by_name[test.id()] = f"skipped: {reason}"

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def _failed(self, test: unittest.TestCase, err: Any) -> None:
        self.by_name[test.id()] = self.by_name.get(test.id()) or f"{err[0].__name__}: {err[1]}"


def put_in_dummys_place() -> None:
    """Has `TASKS` mean ours wherever it names the dummy; whatever else it says stays."""
    make = TaskBackendHandler.create_connection

    def create_connection(self: Any, alias: str) -> Any:
        params = self.settings[alias]
        if params["BACKEND"] != DUMMY:
            return make(self, alias)
        options = {
            "url": URL,
            "store": STORE,
            "priorities": {"": -100},
            "modules": ["tasks"],
            **params.get("OPTIONS", {}),
        }
        return InDummysPlace(alias=alias, params={**params, "OPTIONS": options})

    TaskBackendHandler.create_connection = create_connection
    task_enqueued.connect(note)


def main() -> None:
    """Runs them."""
    from django.test.runner import DiscoverRunner

    put_in_dummys_place()
    runner = DiscoverRunner(verbosity=0, interactive=False)
    suite = runner.build_suite(["tasks.test_tasks", "tasks.test_dummy_backend"])
    databases = runner.setup_databases()
    outcomes = Outcomes()
    suite.run(outcomes)
    runner.teardown_databases(databases)
    Path(OUT).write_text(json.dumps(outcomes.by_name), encoding="utf-8")


if __name__ == "__main__":
    main()
