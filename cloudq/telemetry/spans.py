"""`Spans`: sends and runs as OpenTelemetry's spans.

```
 one message     send q (PRODUCER) ──────────────── its context travels ──▶ process q (CONSUMER): its child
 send_many       create q (PRODUCER), one each ──── their contexts travel ▶ process q: child of its own
                 send q (CLIENT), linked to them
 in a request    as above, and the process span is the request's child: linked to what the message brought
```

The context travels by W3C's `traceparent` and `tracestate`, which are attributes of the CloudEvents event. What a
sender has put there itself is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from msgspec.structs import replace
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from cloudq.core.delivery import Delivery
from cloudq.core.event_headers import TRACE_HEADERS
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome, Retried, ending_of
from cloudq.core.printable import NAME_CHARS, TEXT_CHARS, shortened
from cloudq.core.shield import shielded
from cloudq.core.tracing import Quiet
from cloudq.telemetry import conventions as words
from cloudq.telemetry.backend import Backend
from cloudq.telemetry.quiet import UntracedCalls

if TYPE_CHECKING:
    from contextvars import Token

_TRACEPARENT: Final = TRACE_HEADERS[0]
_NO_LINKS: Final[tuple[Link, ...]] = ()
_INVALID: Final = trace.INVALID_SPAN_CONTEXT


class Spans:
    """Makes spans by a tracer. It is a `Tracing`.

    Args:
        tracer: Makes them.
        propagator: Reads and writes a message's headers.
        sdk_spans: Whether those that trace an SDK see the calls that a driver makes by it, too.
    """

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator, *, sdk_spans: bool = False) -> None:
        self._tracer = tracer
        self._propagator = propagator
        self._backend = Backend()
        self.quiet: Quiet | None = None if sdk_spans else UntracedCalls

    def opened(self, system: str, server: str | None) -> None:
        """Spans name it from now on."""
        self._backend.opened(system, server)

    def ids(self) -> Mapping[str, str]:
        """Of the current span; none where it is of no trace."""
        here = trace.get_current_span().get_span_context()
        if not here.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(here.trace_id), "span_id": trace.format_span_id(here.span_id)}

    def sending(self, messages: Sequence[Message]) -> Sending:
        """The spans of one send: for several messages one more, which links to theirs."""
        return Sending(self._tracer, self._propagator, self._backend, messages)

    def running(self, delivery: Delivery) -> Running:
        """The span of one delivery's work."""
        return Running(self._tracer, self._propagator, self._backend, delivery)


class Sending:
    """A block in which messages are stored. Made by `Spans.sending`."""

    __slots__ = ("_backend", "_messages", "_named", "_propagator", "_span", "_token", "_tracer")

    def __init__(
        self, tracer: Tracer, propagator: TextMapPropagator, backend: Backend, messages: Sequence[Message]
    ) -> None:
        self._tracer, self._propagator, self._backend = tracer, propagator, backend
        self._messages = messages
        self._named = backend.known
        self._span: Span | None = None
        self._token: Token[otel_context.Context] | None = None

    @shielded  # a time limit that strikes in here would leave a lock of the SDK's taken
    def __enter__(self) -> Sequence[Message]:
        """The messages as they are to be stored."""
        messages = self._messages
        if len(messages) == 1 and _TRACEPARENT not in messages[0].headers:
            return [self._one(messages[0])]
        stored, links = [], []
        for message in messages:
            traced, link = self._created(message)
            stored.append(traced)
            if link.context.is_valid:
                links.append(link)
        queues = {message.queue for message in messages}
        attributes: dict[str, str | int] = {**self._attributes("send", *queues)}
        if len(messages) == 1:
            attributes[words.MESSAGE_ID] = messages[0].id
        else:
            attributes[words.BATCH_COUNT] = len(messages)
        name = f"send {queues.pop()}" if len(queues) == 1 else "send"
        self._begin(self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, links=links))
        return stored

    @shielded
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, end: TracebackType | None
    ) -> None:
        """Ends the span; with an error, if the messages weren't stored."""
        span = self._span
        if span is None or self._token is None:
            return
        if not self._named and self._backend.known:
            span.set_attributes(self._backend.attributes())  # the first send of a program opens its backend
        if error is not None:
            _note_error(span, error)
        otel_context.detach(self._token)
        span.end()

    def _one(self, message: Message) -> Message:
        attributes: dict[str, str] = self._attributes("send", message.queue)
        attributes[words.MESSAGE_ID] = message.id
        attributes[words.TASK] = shortened(message.task, NAME_CHARS)
        span = self._tracer.start_span(f"send {message.queue}", kind=SpanKind.PRODUCER, attributes=attributes)
        return self._carrying(message, self._begin(span))

    def _created(self, message: Message) -> tuple[Message, Link]:
        """A message with a context of its own, and the link to that."""
        if _TRACEPARENT in message.headers:
            return message, Link(_brought(self._propagator, message.headers))
        attributes = self._attributes("create", message.queue)
        attributes[words.MESSAGE_ID] = message.id
        attributes[words.TASK] = shortened(message.task, NAME_CHARS)
        span = self._tracer.start_span(f"create {message.queue}", kind=SpanKind.PRODUCER, attributes=attributes)
        carrying = self._carrying(message, trace.set_span_in_context(span))
        span.end()
        return carrying, Link(span.get_span_context())

    def _attributes(self, operation: str, *queues: str) -> dict[str, str]:
        queue = queues[0] if len(queues) == 1 else None
        return self._backend.attributes(queue, **{words.OPERATION_NAME: operation, words.OPERATION_TYPE: operation})

    def _begin(self, span: Span) -> otel_context.Context:
        within = trace.set_span_in_context(span)
        self._span, self._token = span, otel_context.attach(within)
        return within

    def _carrying(self, message: Message, within: otel_context.Context) -> Message:
        carrier = dict(message.headers)
        self._propagator.inject(carrier, within)
        return message if len(carrier) == len(message.headers) else replace(message, headers=carrier)


class Running:
    """A block in which a delivery is worked on. Made by `Spans.running`."""

    __slots__ = ("_backend", "_delivery", "_propagator", "_span", "_token", "_tracer", "_within")

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator, backend: Backend, delivery: Delivery) -> None:
        self._tracer, self._propagator, self._backend = tracer, propagator, backend
        self._delivery = delivery

    def __enter__(self) -> Self:
        """The span is the current one from now on."""
        delivery, message = self._delivery, self._delivery.message
        around = otel_context.get_current()
        brought = _INVALID if message is None else _brought(self._propagator, message.headers)
        within, links = around, _NO_LINKS
        if brought.is_valid:
            links = (Link(brought),)
            if not trace.get_current_span(around).get_span_context().is_valid:
                within = trace.set_span_in_context(trace.NonRecordingSpan(brought), around)
        attributes: dict[str, str | int] = {
            **self._backend.attributes(delivery.queue),
            words.OPERATION_NAME: "process",
            words.OPERATION_TYPE: "process",
            words.MESSAGE_ID: shortened(delivery.id, NAME_CHARS),
            words.ATTEMPT: delivery.attempt,
        }
        if message is not None:
            attributes[words.TASK] = shortened(message.task, NAME_CHARS)
        self._span = self._tracer.start_span(
            f"process {delivery.queue}", within, kind=SpanKind.CONSUMER, attributes=attributes, links=links
        )
        self._within = trace.set_span_in_context(self._span, around)
        self._token = otel_context.attach(self._within)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, end: TracebackType | None
    ) -> None:
        """Ends the span; with an error, if the work was interrupted."""
        if error is not None:
            _note_error(self._span, error)
        # A coroutine that nobody awaits to its end is closed in another context, which has nothing to be detached.
        if otel_context.get_current() is self._within:
            otel_context.detach(self._token)
        self._span.end()

    def ended(self, outcome: Outcome) -> None:
        """Says what becomes of it, and what went wrong."""
        span = self._span
        if not span.is_recording():
            return
        span.set_attribute(words.OUTCOME, ending_of(outcome).value)
        if not isinstance(outcome, (Retried, DeadLettered)) or (isinstance(outcome, Retried) and not outcome.counted):
            return
        span.set_status(Status(StatusCode.ERROR, shortened(outcome.reason, TEXT_CHARS)))
        failure = outcome.failure
        span.set_attribute(words.ERROR_TYPE, (failure and failure.error_type) or words.OTHER)
        if failure is not None and failure.error_type is not None:
            # By what was kept of it: without secrets, and cut.
            event = {
                words.EXCEPTION_TYPE: failure.error_type,
                words.EXCEPTION_MESSAGE: failure.error_message or "",
                words.EXCEPTION_STACKTRACE: failure.traceback or "",
            }
            span.add_event(words.EXCEPTION, event)


def _brought(propagator: TextMapPropagator, headers: Mapping[str, str]) -> trace.SpanContext:
    """What a message brought of a trace; an invalid one if that is nothing."""
    if not headers:
        return _INVALID
    return trace.get_current_span(propagator.extract(headers, otel_context.Context())).get_span_context()


def _note_error(span: Span, error: BaseException) -> None:
    if span.is_recording():
        span.set_attribute(words.ERROR_TYPE, words.error_type(error))
        span.set_status(Status(StatusCode.ERROR, shortened(str(error), TEXT_CHARS)))
