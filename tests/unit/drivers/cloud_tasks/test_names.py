"""Names of cloudq and resource names of Cloud Tasks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.drivers.cloud_tasks.names import Names, task_id
from cloudq.errors import UnsupportedError

NAMES = Names("my-project", "europe-west1", "prod-")


def test_a_queue_has_a_resource_name():
    """With the prefix, which is part of the queue's name over there."""
    assert "projects/my-project/locations/europe-west1/queues/prod-emails" == NAMES.queue("emails")
    assert NAMES.queue("emails") + "/tasks/7" == NAMES.task("emails", "7")


@pytest.mark.parametrize("name", ["a_b", "a.b", "a/b", "a:b", "é", "", "x" * 92])
def test_a_name_that_the_service_does_not_take_is_refused(name):
    """Cloud Tasks knows letters, digits and hyphens only; the dead-letter queue's longer name has to fit as well."""
    with pytest.raises(UnsupportedError, match="can't be the name") as raised:
        Names("my-project", "europe-west1", "" if not name else "prod-").queue(name)
    assert "prefix" in str(raised.value.hint)


def test_the_longest_name_fits_with_its_dead_letter_queue():
    """100 characters over there, `-dlq` included."""
    longest = "x" * (100 - len("prod-") - len("-dlq"))
    assert len(NAMES.queue(longest + "-dlq").rpartition("/")[2]) == 100


def test_a_push_names_the_queue_with_the_prefix():
    """What has another prefix is no queue of ours."""
    assert [NAMES.of_pushed(name) for name in ("prod-emails", "dev-emails", "prod-")] == ["emails", None, None]


@settings(deadline=None)
@given(st.text(st.characters()))
def test_any_native_id_gives_a_task_s_name(native_id):
    """Of the characters and the length that a task's name may have, spread evenly: half of a surrogate pair, too."""
    assert re.fullmatch(r"[0-9a-f]{40}", task_id(native_id))


def test_native_ids_that_differ_give_names_that_differ():
    """Also those that differ in a single character."""
    assert len({task_id(f"order-{number}") for number in range(1_000)}) == 1_000
