"""`AppRuntime`: the side of an app that edges and tools work with, where `App` itself is what its users see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cloudq.core.delivery import Delivery
from cloudq.core.message import Message
from cloudq.core.middleware import Middleware
from cloudq.core.observing import Observer
from cloudq.core.store import Store
from cloudq.core.tracing import Tracing
from cloudq.queues.claim_check import deleter, load_payload
from cloudq.queues.connection import Connection
from cloudq.queues.signing import Signing
from cloudq.queues.store_connection import StoreConnection
from cloudq.tasks.context import Context, open_transaction
from cloudq.tasks.definition import Definition
from cloudq.tasks.noted_sends import NotedSends
from cloudq.tasks.registry import Registry
from cloudq.tasks.results import Results

if TYPE_CHECKING:
    from cloudq.outbox.writing import NewRow
    from cloudq.tasks.holding import Holder
    from cloudq.user_database.transaction import Transaction


class AppRuntime:
    """What an edge needs to run an app's tasks. Obtained by `app.runtime`.

    Attributes:
        stores: Where its idempotency keys are claimed.
        results: What became of its messages, as far as it is noted.
        noted_sends: What is noted of a message around its send.
        open_transaction: Finds the transaction that a send is made in, if one is open here: a task's own, unless an
            integration looks for that of its framework, too.
        edge_middleware: Around a task's middleware in what serves queues, and not in tests: for an integration's care
            of its framework.
        carried_headers: Gives headers that every message is sent with, under those of the send; `None`: there are none.
    """

    def __init__(self, registry: Registry, connection: Connection, stores: StoreConnection) -> None:
        self._registry = registry
        self._connection = connection
        self.stores = stores
        self.open_transaction: Callable[[], Transaction[Any] | Holder | None] = open_transaction
        self.edge_middleware: tuple[Middleware[Context], ...] = ()
        self.carried_headers: Callable[[], Mapping[str, str]] | None = None
        self.results = Results(lambda: self.store, self._definition, lambda: connection.clock)
        self.noted_sends = NotedSends(self.results, lambda: self.stores.in_use)

    def _definition(self, name: str) -> Definition | None:
        return self._registry.definitions.get(name)

    @property
    def handlers(self) -> Mapping[str, Definition]:
        """The declared tasks by name and alias, as a Processor takes them; follows later declarations."""
        return self._registry.definitions

    def declared_queues(self) -> list[str]:
        """The queues that the tasks declare, in the order of the tasks."""
        return list(dict.fromkeys(queue for task in self._registry.tasks.values() for queue in task.queues))

    def declared_weights(self) -> dict[str, int]:
        """The queues that the tasks declare, with their weights by their priorities: the most urgent first."""
        weights = dict.fromkeys(self.declared_queues(), 1)
        for definition in self._registry.definitions.values():
            if definition.priorities is not None:
                for queue, weight in definition.priorities.weights().items():
                    weights[queue] = max(weights[queue], weight)
        return dict(sorted(weights.items(), key=itemgetter(1), reverse=True))  # stable: the order of the tasks

    @property
    def observer(self) -> Observer | None:
        """Told of what happens, for as long as an edge is made now; `None`: nobody is."""
        return self._connection.observed.observer

    def observe(self, observer: Observer) -> None:
        """As `App.observe`."""
        self._connection.observe(observer)

    @property
    def tracing(self) -> Tracing | None:
        """Makes the spans of sends and runs; `None`: none are made."""
        return self._connection.observed.tracing

    def trace(self, tracing: Tracing) -> None:
        """Has this one make them from now on."""
        self._connection.trace(tracing)

    @property
    def lent(self) -> bool:
        """Whether the app works with a driver that was lent to it (`App.using`), which no other process can open."""
        return self._connection.is_lent

    @property
    def url_from(self) -> str:
        """What named the backend's URL: the app itself, the environment, or nothing."""
        return self._connection.url_from

    @property
    def claim_check_url(self) -> str | None:
        """The URL of the store of large payloads: the app's own, else `CLOUDQ_CLAIM_CHECK`, else none."""
        return self._connection.claim_check_url

    @property
    def namespace(self) -> str:
        """What keeps the app's keys apart from those of others in one store or database."""
        return self.stores.namespace

    @property
    def store(self) -> Store | None:
        """The store of idempotency keys, opened at the first use; `None` if there is none.

        Raises:
            ConfigurationError: Its URL can't be used.
            CloudqError: It can't be opened: it isn't available, or refuses.
        """
        return self.stores.store

    def keyed_tasks(self) -> list[str]:
        """The names of the tasks that declare an idempotency key."""
        declared = self._registry.definitions
        return [name for name in self._registry.tasks if declared[name].declares_key]

    def noted_tasks(self) -> list[str]:
        """The names of the tasks whose runs are noted in the store, whatever a message says."""
        declared = self._registry.definitions
        return [name for name in self._registry.tasks if declared[name].run_options.noted]

    @property
    def signing(self) -> Signing:
        """Which keys sign and verify, and how strictly: by the app's own settings, else by the environment's.

        Raises:
            ConfigurationError: They can't be used.
        """
        return self._connection.signing.in_force()

    def with_payload(self, message: Message) -> Message:
        """The message with its payload, where a reference stands in its place: fetched from the claim-check store.

        Raises:
            PayloadLost: The payload isn't there, or isn't what was sent.
            ConfigurationError: No store is configured.
            BackendError: The store can't be reached, or doesn't allow it.
        """
        if message.reference is None:
            return message
        return load_payload(message, self._connection.claim_check)

    def outbox_row(self, message: Message) -> NewRow:
        """The message as an outbox stores it, checked against its queue, and signed as a send signs it.

        Raises:
            UnsupportedError: The queue can't do what the message asks for.
            MessageTooLarge: It is larger than the backend stores.
            PayloadError: It can't be encoded.
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        from cloudq.outbox.writing import NewRow  # few programs have an outbox

        return NewRow(
            queue=message.queue,
            task=message.task,
            body=self._connection.queue(message.queue).whole_body(message),
            ordering_key=message.ordering_key,
        )

    def payload_deleter(self) -> Callable[[Delivery], None] | None:
        """Deletes the payload of a message that is done and gone; `None` if payloads are kept."""
        store = self._connection.claim_check
        return deleter(store) if store is not None and store.url.delete else None
