"""What was sent, by a row of the same transaction; and what ran."""

from django.db import models


class Entry(models.Model):
    """The effect beside the send."""

    number = models.IntegerField(unique=True)


class Run(models.Model):
    """One run of a task; more than one a number, where it ran again."""

    number = models.IntegerField()
    language = models.CharField(max_length=20, default="")
