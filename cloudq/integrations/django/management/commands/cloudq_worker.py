"""`manage.py cloudq_worker`: `cloudq worker` for the project."""

from __future__ import annotations

from cloudq.integrations.django.management.program import ProgramCommand


class Command(ProgramCommand):
    """The worker."""

    help = "Run the project's tasks. Takes what `cloudq worker` takes: --queue mail --concurrency 4 --reload."
    program = ("worker",)
