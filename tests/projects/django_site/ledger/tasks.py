"""Found by their module's name."""

from django.utils import translation

import cloudq
from tests.projects.django_site.ledger.models import Run


@cloudq.task("ledger.note")
def note(number: int) -> None:
    """Leaves a row."""
    Run.objects.create(number=number, language=translation.get_language() or "")


@cloudq.task("ledger.anote")
async def anote(number: int) -> None:
    """As `note`, by Django's async ORM."""
    await Run.objects.acreate(number=number)


@cloudq.task("ledger.once")
def once(context: cloudq.Context, number: int) -> None:
    """As `note`, in the task's own transaction, which its completion is part of."""
    with context.transaction(using="default"):
        Run.objects.create(number=number)
