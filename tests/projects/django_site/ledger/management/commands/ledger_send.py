"""Sends within transactions, of which a third is rolled back; some processes die right after a commit."""

import os
import signal
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections, transaction

from tests.projects.django_site.ledger.models import Entry
from tests.projects.django_site.ledger.tasks import note

# A customer changes their mind.
_ROLLED_BACK = 3


class RolledBack(Exception):
    """Ends a transaction."""


def die() -> None:
    """As a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)


class Command(BaseCommand):
    """Each call is within a transaction of its own, beside a row; each of the crashes comes with a call more."""

    def add_arguments(self, parser: CommandParser) -> None:
        """How many."""
        parser.add_argument("--calls", type=int, required=True)
        parser.add_argument("--crashes", type=int, default=0)

    def handle(self, *_: Any, calls: int, crashes: int, **__: Any) -> None:
        """Sends them."""
        connections.close_all()
        for number in range(calls, calls + crashes):
            if (child := os.fork()) == 0:
                send(number, crash=True)
            os.waitpid(child, 0)
        for number in range(calls):
            with suppress(RolledBack):
                send(number)


def send(number: int, *, crash: bool = False) -> None:
    """One call."""
    with transaction.atomic():
        Entry.objects.create(number=number)
        if crash:
            transaction.on_commit(die)  # before what sends the message
        note.send(number=number)
        if not crash and number % _ROLLED_BACK == 0:
            raise RolledBack
