"""Which of the two it is: Django's own tasks, or their backport."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules["django" if {gone!r} == "django" else "django_tasks"] = None
import cloudq.integrations.django.contract as contract
print(contract.ROOT)
"""


def ran(gone: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(gone=gone)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_it_is_the_one_that_is_there(django_site: None) -> None:
    """Django's own where it has tasks."""
    import django

    from cloudq.integrations.django import contract

    assert ("django.tasks" if django.VERSION >= (6, 0) else "django_tasks") == contract.ROOT
    assert contract.Task.__module__.startswith(contract.ROOT)


@pytest.mark.slow
def test_without_either_it_says_what_to_install() -> None:
    """By the extra's name."""
    assert "pip install 'cloudq[django]'" in ran("django").stderr


def test_a_signal_is_told_once_the_project_has_a_receiver_of_its_own(django_site: None) -> None:
    """Django's own, which logs, doesn't count: it is always there."""
    from cloudq.integrations.django.contract import has_own_receivers, task_finished, task_started

    def receive(**_: object) -> None:
        """The project's."""

    assert not has_own_receivers(task_finished)
    task_finished.connect(receive)
    try:
        assert has_own_receivers(task_finished)
        assert not has_own_receivers(task_started)
    finally:
        task_finished.disconnect(receive)
    assert not has_own_receivers(task_finished)
