"""Which messages' transactions were committed, to be looked at. Only cloudq writes it."""

from __future__ import annotations

from django.db import models


class InboxEntry(models.Model):  # type: ignore[misc]  # Django has no types
    """That the work of a message is done. Times: microseconds since 1970."""

    digest = models.BinaryField(primary_key=True)
    namespace = models.TextField()
    task = models.TextField()
    key = models.TextField()
    message = models.TextField()
    completed_at = models.BigIntegerField()
    kept_until = models.BigIntegerField()

    class Meta:
        """The table of every other program, too."""

        db_table = "cloudq_inbox"

    def __str__(self) -> str:
        """Which work."""
        return f"{self.task} {self.key}"
