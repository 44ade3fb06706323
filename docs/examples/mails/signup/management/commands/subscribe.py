"""`manage.py subscribe ADDRESS...`."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from signup import services


class Command(BaseCommand):
    """What the form does, for some addresses."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Which."""
        parser.add_argument("addresses", nargs="+")

    def handle(self, *_: Any, addresses: list[str], **__: Any) -> None:
        """Subscribes them."""
        for address in addresses:
            try:
                is_new = services.subscribe(address)
            except ValidationError as error:
                raise CommandError(f"{address!r} is no address") from error
            self.stdout.write(f"{address}: {'subscribed' if is_new else 'was subscribed already'}")
