"""`Definition`: what a task's declaration fixed. The `Handler` that a Processor runs."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from cloudq.core.message import Message
from cloudq.core.policy import RetryPolicy, policy_for
from cloudq.errors import TaskDefinitionError
from cloudq.tasks.binding import Parameters
from cloudq.tasks.context import Context
from cloudq.tasks.expiry_options import ExpiryOptions, expiry_options
from cloudq.tasks.flow_options import FlowOptions, flow_options
from cloudq.tasks.home import TaskHome
from cloudq.tasks.job import TaskJob
from cloudq.tasks.key_options import KeyOptions, key_options
from cloudq.tasks.keys import Key, check_key, check_template, key_for
from cloudq.tasks.naming import default_name
from cloudq.tasks.options import SendOptions, TaskOptions
from cloudq.tasks.priorities import declared_priorities
from cloudq.tasks.result_type import ResultType
from cloudq.tasks.run_options import RunOptions, run_options
from cloudq.tasks.task_queues import own_queues
from cloudq.tasks.unrun import is_async, runs_nothing

if TYPE_CHECKING:
    from cloudq.core.claiming import Begun, KeyClaim
    from cloudq.core.delivery import Delivery
    from cloudq.tasks.dependencies.marks import Mark
    from cloudq.user_database.inbox import Completion

# Longer than any task runs, and short enough to be added to any moment: timedelta.max says "no limit".
_LONGEST: Final = timedelta(days=36_500)
# A worker's, unless it or the task says otherwise.
DEFAULT_LEASE: Final = timedelta(seconds=120)


class Definition:
    """What a declaration fixed: shared by a Task and its `options()` variants. A `Handler` for the Processor."""

    def __init__(self, app: TaskHome, function: Callable[..., Any], name: str | None, options: TaskOptions) -> None:
        _check_function(function)
        if (kind := runs_nothing(function)) is not None:
            raise TaskDefinitionError(f"{function.__qualname__} is {kind}, which nothing would run", hint="use def")
        self.app = app
        self.function = function
        self.name = name if name is not None else default_name(function)
        if not self.name or not self.name.isprintable():
            raise TaskDefinitionError(
                f"{self.name!r} is no name for a task", hint="printable, and not empty: 'shop.welcome'"
            )
        self.place = _place(function)
        self.is_async = is_async(function)
        self.parameters = Parameters(function, self.name)
        self.result_type = ResultType(function, self.name)
        self._job: type[TaskJob] = TaskJob
        if self.dependencies:
            from cloudq.tasks.dependencies.job import InjectedJob

            self._job = InjectedJob  # chosen once: without dependencies, a run does nothing for them
        self._set(options)

    def _set(self, options: TaskOptions) -> None:
        for option in options:
            if option not in TaskOptions.__annotations__:
                hint = "known: " + ", ".join(TaskOptions.__annotations__)
                if option == "name":
                    hint = 'the name goes first: @cloudq.task("shop.welcome")'
                raise TaskDefinitionError(f"there is no task option {option!r}", hint=hint)
        aliases = options.get("aliases", ())
        if (
            isinstance(aliases, str)
            or not isinstance(aliases, Iterable)
            or not all(isinstance(alias, str) and alias and alias.isprintable() for alias in aliases)
        ):
            raise TaskDefinitionError(f"aliases of task {self.name!r} are a list of names, not {aliases!r}")
        self.aliases: tuple[str, ...] = tuple(aliases)
        self.priorities = declared_priorities(options, self.name)
        self.own_queues = own_queues(options, self.name)
        if self.priorities is not None:
            self.own_queues = tuple(self.priorities.queues.values())
        self.own_retry: RetryPolicy | None = options.get("retry")
        if self.own_retry is not None and not isinstance(self.own_retry, RetryPolicy):
            raise TaskDefinitionError(
                f"retry of task {self.name!r} is a RetryPolicy, not {self.own_retry!r}",
                hint=f"retry={policy_for(self.own_retry)}",
            )
        self.lease: timedelta | None = self._duration("lease", options.get("lease"))
        self.time_limit: timedelta | None = self._duration("time_limit", options.get("time_limit"))
        self.keys: dict[str, Key] = {}
        for option in ("idempotency_key", "ordering_key", "fairness_key"):
            key: Key | None = options.get(option)  # type: ignore[assignment]  # all are of type Key
            if key is not None:
                check_template(option, key, self.parameters.names, self.name)
                self.keys[option] = key
        self.key_options: KeyOptions = key_options(options, self.parameters.names, self.name)
        self.run_options: RunOptions = run_options(options, self.name)
        self.flow: FlowOptions = flow_options(options, self.parameters.names, self.name)
        self.expiry_options: ExpiryOptions = expiry_options(options, self.name)

    def _duration(self, option: str, value: object) -> timedelta | None:
        if value is None:
            return None
        if not isinstance(value, timedelta) or value <= timedelta(0):
            raise TaskDefinitionError(
                f"{option} of task {self.name!r} is a positive timedelta, not {value!r}",
                hint=f"{option}=timedelta(minutes=5)",
            )
        return min(value, _LONGEST)

    @property
    def retry_policy(self) -> RetryPolicy:
        """The task's own policy, or its app's."""
        return self.own_retry or self.app.retry_policy

    @property
    def queue(self) -> str:
        """Where its messages go unless a send says otherwise: the first of its queues, or that of its own priority."""
        if self.priorities is not None:
            return self.priorities.queue
        return self.own_queues[0] if self.own_queues else self.app.default_queue

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that it names, or its app's default one."""
        return self.own_queues or (self.app.default_queue,)

    @property
    def dead_letters_expired(self) -> bool:
        """Whether a message that wasn't begun in time is dead-lettered."""
        return self.expiry_options.on_expired == "dead_letter"

    @property
    def propagates_expiry(self) -> bool:
        """Whether what it sends expires no later than the message that it runs for."""
        own = self.expiry_options.propagate
        return self.app.propagate_expiry if own is None else own

    @property
    def dependencies(self) -> Mapping[str, Mark]:
        """Those of its parameters that are filled in."""
        return self.parameters.dependencies

    def check(self) -> None:
        """Resolves the types of its parameters, and its dependencies.

        Raises:
            TaskDefinitionError: A type can't travel as JSON, or a dependency can't be called as it asks for.
        """
        self.parameters.check_types()
        if self.dependencies:
            self.app.dependencies.in_force.plan(self)

    def keys_for(self, payload: Mapping[str, object], given: SendOptions) -> dict[str, str]:
        """The keys that the declaration gives this payload, where the send gives none."""
        if not self.keys:
            return {}
        wanted = {option: key for option, key in self.keys.items() if option not in given}
        if not wanted:
            return {}
        arguments = self.parameters.with_defaults(self.parameters.arguments(payload))
        return {option: key_for(option, key, arguments) for option, key in wanted.items()}

    def completion_of(self, message: Message, claim: KeyClaim | None) -> Completion:
        """What is recorded beside the effect of a message in the user's database.

        A keyed one's work may be known by any of the task's names; a message keeps the one that it was sent with.
        """
        from cloudq.user_database.inbox import Completion

        key = claim.key.key if claim is not None else self.idempotency_key_of(message)
        if self.key_options.unique_until == "start":
            key = None  # another message of the key is other work, once this one has begun
        return Completion(
            namespace=self.app.runtime.namespace,
            tasks=(message.task,) if key is None else tuple({self.name, message.task, *self.aliases}),
            key=key,
            source=message.source,
            message=message.id,
        )

    @property
    def longest_transaction(self) -> timedelta:
        """A third of a lease: after it a lease is renewed, or lost."""
        return (self.lease or DEFAULT_LEASE) / 3

    @property
    def declares_key(self) -> bool:
        """Whether each of its messages has an idempotency key."""
        return "idempotency_key" in self.keys

    def idempotency_key_of(self, message: Message) -> str | None:
        """The message's own key, else the one that the declaration gives its payload: another program sent it without.

        Raises:
            PayloadError: The payload doesn't fit the parameters.
            OptionError: The template or function fails for it, or gives no key; or another program sent one that no
                send takes.
        """
        if message.idempotency_key is not None:
            return check_key("idempotency_key", message.idempotency_key)
        if not self.declares_key:
            return None
        arguments = self.parameters.with_defaults(self.parameters.arguments(message.payload))
        return key_for("idempotency_key", self.keys["idempotency_key"], arguments)

    def load(self, message: Message) -> Message:
        """The message with its payload, from the app's claim-check store.

        Raises:
            PayloadLost: The payload isn't there, or isn't what was sent.
            ConfigurationError: The app has no store.
            BackendError: The store can't be reached, or doesn't allow it.
        """
        return self.app.runtime.with_payload(message)

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> TaskJob:
        """The run of this task for a delivery.

        Raises:
            PayloadError: The payload doesn't fit the parameters.
        """
        context = Context(
            message,
            attempt=delivery.attempt,
            deliveries=delivery.deliveries,
            deadline=deadline,
            lease_lost=lease_lost,
            raw=delivery.raw,
            clock=self.app.clock,
            claim=None if claim is None else claim.claim,
            run=None if claim is None else claim.run,
            work=self,
        )
        return self._job(self, context, self.parameters.arguments(message.payload))


def _check_function(function: Callable[..., object]) -> None:
    """Refuses callables that aren't functions which a worker could call by name."""
    if isinstance(function, functools.partial) or not hasattr(inspect.unwrap(function), "__code__"):
        raise TaskDefinitionError(f"{function!r} is no function", hint="decorate a def or an async def")
    if inspect.ismethod(function):
        raise TaskDefinitionError(f"{function!r} is bound to an object", hint="declare a function that calls it")
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is not None and first.name in {"self", "cls"} and first.annotation is first.empty:
        raise TaskDefinitionError(
            f"{function.__qualname__} is a method: a worker has no {first.name!r} to call it with",
            hint="declare a function, or a @staticmethod below @task",
        )


def _place(function: Callable[..., object]) -> str:
    # A script that runs and its import may spell its path differently.
    code = inspect.unwrap(function).__code__
    return f"{os.path.realpath(code.co_filename)}:{code.co_firstlineno}"
