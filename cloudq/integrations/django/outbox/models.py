"""What waits in the outbox, to be looked at. Only cloudq writes it.

Its other tables are no models: a `TransactionTestCase` empties those of all models, and they have rows that must stay.
"""

from __future__ import annotations

from django.db import models


class OutboxMessage(models.Model):  # type: ignore[misc]  # Django has no types
    """A message that a committed transaction sent, still to be published. Times: microseconds since 1970."""

    id = models.BigAutoField(primary_key=True)
    namespace = models.CharField(max_length=128)
    queue = models.TextField()
    task = models.TextField()
    body = models.BinaryField()
    ordering_key = models.TextField(null=True)
    key_digest = models.BinaryField()
    number = models.BigIntegerField()
    due = models.BigIntegerField(default=0)
    created_at = models.BigIntegerField()
    attempts = models.IntegerField(default=0)
    last_error = models.TextField(null=True)
    parked_at = models.BigIntegerField(null=True)

    class Meta:
        """The table of every other program, too."""

        db_table = "cloudq_outbox"

    def __str__(self) -> str:
        """Which task; not the body, which may hold what no page should show."""
        return f"{self.task} in {self.queue}"
