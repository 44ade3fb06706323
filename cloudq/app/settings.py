"""`AppState`: what an app consists of, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Unpack

from cloudq.core.clock import Clock
from cloudq.core.due_times import LONGEST_DELAY
from cloudq.core.middleware import Middleware
from cloudq.core.patience import PATIENCE
from cloudq.core.policy import RetryPolicy
from cloudq.core.redaction import Redact, mask_secrets
from cloudq.core.unknown import UNKNOWN_TASK_PATIENCE
from cloudq.errors import ConfigurationError
from cloudq.flow.rates import Rate
from cloudq.queues.connection import Connection
from cloudq.queues.names import check_queue
from cloudq.queues.store_connection import StoreConnection
from cloudq.tasks.app_settings import AppSettings, checked_app_settings
from cloudq.tasks.context import Context
from cloudq.tasks.dependencies.of_app import Dependencies
from cloudq.tasks.flow_options import queue_rates
from cloudq.tasks.hooks import Hooks
from cloudq.tasks.registry import Registry
from cloudq.tasks.runtime import AppRuntime

# The attributes that `configure` sets on the app itself.
_KEPT: Final = (
    "default_queue",
    "imports",
    "retry_policy",
    "redact",
    "queue_rates",
    "outbox_namespace",
    "middleware",
    "convert_untyped",
    "unknown_task_patience",
    "snooze_patience",
    "longest_delay",
    "propagate_expiry",
    "strict_queues",
)


class AppState:
    """What the sides of `App` share: its tasks, its backend and its settings."""

    def __init__(self) -> None:
        self._connection, self._registry = Connection(), Registry()
        self._connection.tasks = self._registry
        self._stores = StoreConnection(self._connection)
        self.runtime = AppRuntime(self._registry, self._connection, self._stores)
        self.imports: tuple[str, ...] = ()
        self.retry_policy = RetryPolicy()
        self.middleware: tuple[Middleware[Context], ...] = ()
        self.default_queue, self.convert_untyped = "default", False
        self.strict_queues: bool | None = None
        self.propagate_expiry = False
        self.unknown_task_patience, self.longest_delay = UNKNOWN_TASK_PATIENCE, LONGEST_DELAY
        self.snooze_patience = PATIENCE
        self.redact: Redact = mask_secrets
        self.outbox_namespace = ""
        self.dependencies = Dependencies()
        self.hooks = Hooks(self.dependencies.close)
        self.queue_rates: Mapping[str, Rate] = {}

    def configure(self, url: str | None = None, **settings: Unpack[AppSettings]) -> None:
        """Sets what is given, as the constructor does; what is left out stays.

        Raises:
            ConfigurationError: The backend is open already, so a change would come too late; or a value isn't of its
                type.
            OptionError: `default_queue` is no name of a queue.
        """
        if self._connection.is_open:
            raise ConfigurationError(
                "the app's backend is open already: this change would come too late",
                hint="configure before the first send",
            )
        given = checked_app_settings(url, settings)
        self._connection.given = self._connection.given if url is None else url
        self._connection.given_claim_check = settings.get("claim_check") or self._connection.given_claim_check
        store: str | None = settings.get("store")
        self._stores.given = self._stores.given if store is None else store
        self._connection.signing.set(settings.get("signing"), settings.get("signing_keys"))
        self.default_queue = check_queue(given.get("default_queue", self.default_queue))
        self.imports = tuple(settings.get("imports") or ()) if "imports" in given else self.imports
        self.retry_policy = settings.get("retry") or self.retry_policy
        self.redact = settings.get("redact") or self.redact
        self.queue_rates = queue_rates(given.get("queue_rates"), self.queue_rates)
        self.outbox_namespace = given.get("outbox_namespace", self.outbox_namespace)
        self.middleware = tuple(settings.get("middleware") or ()) if "middleware" in given else self.middleware
        self.convert_untyped = bool(given.get("convert_untyped", self.convert_untyped))
        self.unknown_task_patience = given.get("unknown_task_patience", self.unknown_task_patience)
        self.snooze_patience = given.get("snooze_patience", self.snooze_patience)
        self.longest_delay = given.get("longest_delay", self.longest_delay)
        self.propagate_expiry = bool(given.get("propagate_expiry", self.propagate_expiry))
        self.strict_queues = self.strict_queues if (strict := settings.get("strict_queues")) is None else strict

    def settings_in_force(self) -> Callable[[], None]:
        """What sets all settings back to those of now. For who configures an app for a while; it has to be closed then.

        Returns:
            To be called while the backend isn't open.
        """
        connection, signing, stores = self._connection, self._connection.signing, self._stores
        given = connection.given, connection.given_claim_check, stores.given, signing.mode, signing.keys
        kept = {name: getattr(self, name) for name in _KEPT}

        def set_back() -> None:
            connection.given, connection.given_claim_check, stores.given, signing.mode, signing.keys = given
            for name, value in kept.items():
                setattr(self, name, value)

        return set_back

    @property
    def clock(self) -> Clock:
        """Where the time comes from: the machine's clock, or the one given with `using`."""
        return self._connection.clock
