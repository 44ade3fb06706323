"""`Sending`: the side of an app that stores messages, and takes them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from msgspec.structs import replace

from cloudq.app.joined import ajoined, joined
from cloudq.app.settings import AppState
from cloudq.core.message import Message
from cloudq.core.shield import shielded
from cloudq.tasks.async_libraries import check_awaitable, in_a_thread, in_trio
from cloudq.tasks.child_expiry import with_parents_expiry
from cloudq.tasks.child_keys import with_childs_key
from cloudq.tasks.composing import NO_PAYLOAD, checked_calls, composed
from cloudq.tasks.context import maybe_current
from cloudq.tasks.eager import EagerMode, EagerRun
from cloudq.tasks.holding import Holder, Unheld, Ways, all_unheld, unheld
from cloudq.tasks.loop_warning import LoopWarning
from cloudq.tasks.noted_sends import refuse_waiting
from cloudq.tasks.options import SendOptions
from cloudq.tasks.receipts import read_receipt
from cloudq.tasks.sending import SendManyError, ran, send_all, sent
from cloudq.tasks.sent import Sent, read_by
from cloudq.tasks.task import Call, Task
from cloudq.tasks.typo_warning import TypoWarning

if TYPE_CHECKING:
    from cloudq.user_database.transaction import Transaction


class Sending(AppState):
    """Stores messages; in eager mode it runs their tasks at once in place of that."""

    def __init__(self) -> None:
        super().__init__()
        self._eager, self._loop_warning, self._typo_warning = EagerMode(), LoopWarning(), TypoWarning()

    def send(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """Stores a message that makes a worker run a task. Returns only when it is stored.

        Within the transaction of a task (`Context.transaction`) it is stored in that, and leaves with its commit.

        Args:
            task: A task, its name (which needn't be declared in this program), or a `Call`.
            payload: The task's arguments by name. With a `Call`: none, it has its own.
            **options: See `SendOptions`.

        Raises:
            PayloadError: The payload doesn't fit the task's parameters, or isn't JSON. Nothing was stored.
            OptionError: An option isn't valid. Nothing was stored.
            UnsupportedError: The queue can't do what an option asks for. Nothing was stored.
            MessageTooLarge: Nothing was stored.
            BackendError: It may not be stored.
            TransactionRefused: The transaction that is open here is an async one: `asend` it.
            SchemaMismatch: The database of the transaction that is open here has no outbox.
        """
        message = self._message(task, payload, options)
        if (tracing := self._connection.observed.tracing) is None:
            return self._send(message)
        with tracing.sending([message]) as (traced,):
            return self._send(traced)

    def _send(self, message: Message) -> Sent:
        if (
            (transaction := self.runtime.open_transaction()) is not None
            and not isinstance(message, Unheld)
            and (held := joined(transaction, [message], self._ways())) is not None
        ):
            return held[0]
        if self._eager.depth:
            run = self._eager_run(message)
            run.run()
            return run.told(ran(message))
        self._loop_warning.look("send")
        if message.extensions:
            return self._send_noted(message)
        return self._known(message, sent(message, self._connection.queue(message.queue).send(message)))

    async def asend(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """As `send`, for async code on asyncio or trio: the loop is never blocked. Cancelling it doesn't unsend.

        Raises:
            UnsupportedError: Another async library runs. Nothing was stored.
        """
        check_awaitable("asend")
        message = self._message(task, payload, options)
        if (tracing := self._connection.observed.tracing) is None:
            return await self._asend(message)
        with tracing.sending([message]) as (traced,):
            return await self._asend(traced)

    async def _asend(self, message: Message) -> Sent:
        if (
            (transaction := self.runtime.open_transaction()) is not None
            and not isinstance(message, Unheld)
            and (held := await ajoined(transaction, [message], self._ways())) is not None
        ):
            return held[0]
        if self._eager:
            run = self._eager_run(message)
            await run.arun()
            return run.told(ran(message))
        if message.extensions:
            return await in_a_thread(self._send_noted, message)
        if not self._connection.is_open:
            await in_a_thread(self._open)  # opening reads and writes files
        future = self._connection.queue(message.queue).submit(message)
        if in_trio():
            return self._known(message, sent(message, await in_a_thread(future.result)))
        import asyncio

        return self._known(message, sent(message, await asyncio.wrap_future(future)))

    @shielded
    def send_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """Stores many calls with few calls of the backend. Tries all of them.

        Args:
            calls: What `task.call(...)` gives.

        Returns:
            One `Sent` for each, in order.

        Raises:
            UnsupportedError: One of them was to wait alone of its kind (`debounce`, `unique_while_waiting`), or to be
                tracked without a store. Nothing was stored.
            SendManyError: Some were not stored. `.results` has a `Sent` or an error for each, in order; `.failed`
                the calls to send again.
        """
        calls = checked_calls(calls)
        messages = [self._message(call, NO_PAYLOAD, SendOptions()) for call in calls]
        if not messages or (tracing := self._connection.observed.tracing) is None:
            return self._send_many(calls, messages)
        with tracing.sending(messages) as traced:
            return self._send_many(calls, traced)

    def _send_many(self, calls: Sequence[Call], messages: Sequence[Message]) -> list[Sent]:
        if (
            (transaction := self.runtime.open_transaction()) is not None
            and not all_unheld(messages)
            and (held := joined(transaction, messages, self._ways())) is not None
        ):
            return held
        if self._eager:
            runs = [self._eager_run(message) for message in messages]
            for run in runs:
                run.run()
            return [run.told(ran(message)) for run, message in zip(runs, messages, strict=True)]
        self._loop_warning.look("send_many")
        noted = self.runtime.noted_sends
        extended = [message for message in messages if message.extensions]
        for message in extended:
            refuse_waiting(message, "sent together with others")
            noted.instead(message)
        results = send_all(messages, self._connection.queue)
        if extended or any(self._is_noted(task) for task in {message.task for message in messages}):
            results = [
                self._known(message, noted.note(message, result)) if isinstance(result, Sent) else result
                for message, result in zip(messages, results, strict=True)
            ]
        failed = [call for call, result in zip(calls, results, strict=True) if not isinstance(result, Sent)]
        if failed:
            raise SendManyError(results, failed)
        return [result for result in results if isinstance(result, Sent)]

    async def asend_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """As `send_many`, for async code on asyncio or trio: the loop is never blocked. Cancelling doesn't unsend."""
        check_awaitable("asend_many")
        calls = list(calls)
        if (transaction := self.runtime.open_transaction()) is not None:
            calls = checked_calls(calls)
            messages = [self._message(call, NO_PAYLOAD, SendOptions()) for call in calls]
            if not all_unheld(messages) and (held := await self._ahold_many(transaction, messages)) is not None:
                return held
        return await in_a_thread(self.send_many, calls)

    async def _ahold_many(
        self, transaction: Transaction[Any] | Holder, messages: Sequence[Message]
    ) -> list[Sent] | None:
        if not messages or (tracing := self._connection.observed.tracing) is None:
            return await ajoined(transaction, messages, self._ways())
        with tracing.sending(messages) as traced:
            return await ajoined(transaction, traced, self._ways())

    def cancel(self, sent: Sent | str, /) -> bool:
        """Deletes the message of a send, or of its stored `receipt`, if no worker was handed it yet.

        `True`: it will not run. `False`: it is too late, as it is under way, or gone: done, dead, copied for a retry,
        cancelled before. Either way its idempotency key stays taken.

        Raises:
            UnsupportedError: It has no receipt, or its queue can't cancel. Nothing was changed.
            OptionError: It isn't a receipt, or one of another backend. Nothing was changed.
            BackendError: It may be cancelled or not.
        """
        receipt = read_receipt(sent)
        if self._eager:
            return False  # it ran when it was sent
        self._loop_warning.look("cancel")
        cancelled = self._connection.queue(receipt.queue).cancel(receipt.native)
        if cancelled and receipt.noted is not None:
            self.runtime.noted_sends.cancelled(receipt.noted)
        return cancelled

    async def acancel(self, sent: Sent | str, /) -> bool:
        """As `cancel`, for async code on asyncio or trio: the loop is never blocked."""
        check_awaitable("acancel")
        return await in_a_thread(self.cancel, sent)

    def _ways(self) -> Ways:
        return Ways(
            row=self.runtime.outbox_row,
            namespace=self.outbox_namespace,
            eager_run=self._eager_run if self._eager else None,
            store=self._store_now if self.runtime.lent else None,
            send=self._send_held,
        )

    def _send_held(self, messages: Sequence[Message]) -> Sequence[Sent | Exception]:
        """Sends what a transaction has held, which is committed now. Tries all; a `Sent` or an error each."""
        if not any(message.extensions for message in messages):
            return send_all(messages, self._connection.queue)
        return [self._tried(unheld(message)) for message in messages]

    def _tried(self, message: Message) -> Sent | Exception:
        try:
            return self._send(message)
        except Exception as error:  # noqa: BLE001 - reported: it keeps no other from being sent
            return error

    def _store_now(self, message: Message) -> None:
        sent(message, self._connection.queue(message.queue).send(message))

    def _eager_run(self, message: Message) -> EagerRun:
        return EagerRun(message, self._registry.definitions, self.middleware, self.clock, self.runtime.signing)

    def _message(
        self, task: Task[..., Any] | str | Call, payload: Mapping[str, object], options: SendOptions
    ) -> Message:
        declared = self._registry.definitions
        message = composed(self, declared, task, payload, options)
        if maybe_current() is not None:  # in the run of a task
            message = with_childs_key(with_parents_expiry(message), declared.get(message.task))
        if (carried := self.runtime.carried_headers) is not None:
            message = replace(message, headers={**carried(), **message.headers})
        if message.task not in declared and not self._eager:
            self._typo_warning.look(message.task, declared)
        return message

    def _message_for_later(
        self, task: Task[..., Any] | str | Call, payload: Mapping[str, object], options: SendOptions
    ) -> Message:
        """As `_message`, for what somebody else publishes: its part of the trace is that it was sent here."""
        message = self._message(task, payload, options)
        if (tracing := self._connection.observed.tracing) is None:
            return message
        with tracing.sending([message]) as (traced,):
            return traced

    def _open(self) -> None:
        _ = self._connection.driver

    def _send_noted(self, message: Message) -> Sent:
        """Sends what is to be noted, or of whose kind one message waits."""
        noted = self.runtime.noted_sends
        stored = noted.instead(message)
        if stored is None:
            stored = noted.note(message, sent(message, self._connection.queue(message.queue).send(message)))
        return self._known(message, stored)

    def _is_noted(self, task: str) -> bool:
        """Whether its runs may be noted in a store: so it is declared, or it is declared elsewhere."""
        definition = self._registry.definitions.get(task)
        return definition is None or definition.run_options.noted

    def _known(self, message: Message, stored: Sent) -> Sent:
        """What was sent, which knows where its result will be, if one is kept."""
        if not message.extensions and not self._is_noted(message.task):
            return stored
        return read_by(stored, self.runtime.results)
