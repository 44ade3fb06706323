"""What the admin calls the page of dead letters, and the permissions to it. No table: they are in their queue."""

from __future__ import annotations

from django.db import models


class DeadLetter(models.Model):  # type: ignore[misc]  # Django has no types
    """A message that failed for good. `view` lists them, `change` sends them again, `delete` throws them away."""

    class Meta:
        """No table, and no migration."""

        managed = False
        default_permissions = ("view", "change", "delete")
        verbose_name = "dead letter"
