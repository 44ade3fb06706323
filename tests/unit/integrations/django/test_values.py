"""Django's values of what is known."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tests.unit.integrations.django.conftest import Make


def test_a_task_is_as_it_was_enqueued(make: Make) -> None:
    """As far as the settings of now allow: a queue may be gone while its messages wait."""
    from cloudq.integrations.django.results import Kept
    from cloudq.integrations.django.values import as_enqueued
    from tests.projects.django_site.reports import tasks

    make(queues=["default", "mail"], priorities={"": -100})
    kept = Kept(task=tasks.add.module_path, queue="mail", backend="default", priority=5)
    assert tasks.add.using(queue_name="mail", priority=5) == as_enqueued(tasks.add, kept)
    for gone in (Kept(task="", queue="gone", backend="default"), Kept(task="", queue="mail", backend="gone")):
        assert as_enqueued(tasks.add, gone) is tasks.add


def test_moments_are_the_projects(django_site: None) -> None:
    """Aware with `USE_TZ`; else naive, in its time zone. What is kept has an offset always."""
    from django.test import override_settings

    from cloudq.integrations.django.values import known, now, shown

    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert noon is shown(noon)
    assert shown(None) is known(None) is None
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Paris"):
        assert datetime(2026, 7, 1, 14) == shown(noon)  # noqa: DTZ001 - as such a project has them
        assert datetime(2026, 7, 1, 14, tzinfo=ZoneInfo("Europe/Paris")) == known(shown(noon))
    assert noon is known(noon)
    assert now().utcoffset() is not None
