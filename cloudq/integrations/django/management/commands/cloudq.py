"""`manage.py cloudq ...`: each command of `cloudq`, for the project's app and backend."""

from __future__ import annotations

from cloudq.integrations.django.management.program import ProgramCommand


class Command(ProgramCommand):
    """All of them."""

    help = "Any command of `cloudq` for this project: manage.py cloudq dlq list default, manage.py cloudq stats."
