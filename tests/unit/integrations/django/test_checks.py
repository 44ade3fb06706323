"""What `manage.py check` says of the setting."""

from __future__ import annotations

import pytest

from cloudq.integrations.django.checks import check_settings

OUTBOX = ["tests.projects.django_site.shop", "cloudq.integrations.django.outbox"]


@pytest.mark.parametrize(
    ("setting", "apps", "ids"),
    [
        ({}, OUTBOX, []),
        ({"URL": "sqlite:///q.db", "DATABASE": "default"}, OUTBOX, []),
        ({"URL": "no url"}, OUTBOX[:1], ["cloudq.E001"]),
        ({"DATABASE": "orders"}, OUTBOX[:1], ["cloudq.E002"]),
        ({"ON_COMMIT": False}, OUTBOX[:1], []),
        ({"ON_COMMIT": False}, OUTBOX, ["cloudq.W001"]),
    ],
)
def test_what_is_said(django_site, setting, apps, ids):
    """Each finding has its id, and what to do about it."""
    from django.test import override_settings

    with override_settings(CLOUDQ=setting, INSTALLED_APPS=apps):
        found = check_settings()
    assert ids == [message.id for message in found]
    assert all(message.hint for message in found)


def test_a_back_end_that_takes_any_queue(django_site):
    """A worker can't know of a queue that only a sender names. Other back ends than ours are no concern of it."""
    from django.test import override_settings

    ours = {"BACKEND": "cloudq.integrations.django.CloudqBackend"}
    tasks = {
        "default": ours,
        "named": {**ours, "QUEUES": ["mail"]},
        "any": {**ours, "QUEUES": []},
        "theirs": {"BACKEND": "django.tasks.backends.dummy.DummyBackend", "QUEUES": []},
    }
    with override_settings(CLOUDQ={}, TASKS=tasks):
        (found,) = check_settings()
    assert ("cloudq.W002", True) == (found.id, "TASKS['any']" in found.msg)
    assert "--queue" in found.hint
