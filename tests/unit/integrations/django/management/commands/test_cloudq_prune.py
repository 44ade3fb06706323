"""`manage.py cloudq_prune`."""

from __future__ import annotations

import io
import json

import pytest

import cloudq


def call(*words: str) -> str:
    from django.core.management import load_command_class

    command = load_command_class("cloudq.integrations.django", "cloudq_prune")
    command.stdout = out = io.StringIO()
    parser = command.create_parser("manage.py", "cloudq_prune")
    command.execute(**vars(parser.parse_args(list(words))) | {"stdout": out, "skip_checks": True})
    return out.getvalue()


def test_it_removes_what_is_old(databases):
    """All of it, by short transactions; in the database of `CLOUDQ`, or the one that is named."""
    from django.db import transaction

    row = "insert into cloudq_inbox values (%s, '', 't', 'k', 'm', 0, %s)"
    for alias in ("one", "two"):
        cloudq.create_inbox(using=alias)
    with transaction.atomic(using="one"), databases["one"].cursor() as cursor:
        cursor.executemany(row, [(number.to_bytes(32), 1) for number in range(1001)])
        cursor.execute(row, [b"x" * 32, 2**62])
    assert "1001 rows removed from cloudq_inbox in one\n" == call()
    assert {"database": "two", "removed": 0} == json.loads(call("--database", "two", "--json"))


@pytest.mark.parametrize(("installed", "said"), [(True, "makes it$"), (False, "in INSTALLED_APPS$")])
def test_a_database_without_the_table(databases, installed, said):
    """Says what is missing, and how a project makes it: by the app's migration."""
    from django.core.management import CommandError
    from django.test import override_settings

    there = ["cloudq.integrations.django.inbox"] if installed else []
    migrate = r"cloudq_inbox isn't in this database\n  hint: manage.py migrate cloudq_inbox --database two "
    with override_settings(INSTALLED_APPS=there), pytest.raises(CommandError, match=f"{migrate}.*{said}"):
        call("--database", "two")
