"""SQL filters of rules: an expression becomes a function of a message.

predicate: NOT, AND, OR, comparisons, [NOT] IN, [NOT] LIKE ... ESCAPE, IS [NOT] NULL, EXISTS
value: constants, properties (user.name, sys.Name, [a name], "a name"), @parameters, + - * / %, property(name)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Final

from cloudq.emulators.service_bus.broker import sql_values as values
from cloudq.emulators.service_bus.broker.api import Message
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError, Token, tokens
from cloudq.emulators.service_bus.broker.sql_values import Value

# The service's bound. Nesting is bounded, too: the parser calls itself.
MAX_LENGTH: Final = 1024
_MAX_DEPTH: Final = 32

SYSTEM: Final[Mapping[str, Callable[[Message], Value]]] = {
    "messageid": lambda message: message.message_id,
    "correlationid": lambda message: message.correlation_id,
    "sessionid": lambda message: message.session_id,
    "partitionkey": lambda message: message.partition_key,
    "to": lambda message: message.to,
    "replyto": lambda message: message.reply_to,
    "replytosessionid": lambda message: message.reply_to_session_id,
    "label": lambda message: message.subject,
    "subject": lambda message: message.subject,
    "contenttype": lambda message: message.content_type,
    "scheduledenqueuetimeutc": lambda message: message.scheduled_enqueue_time,
}


class Subject:
    """A message whose properties are asked for without regard to case."""

    __slots__ = ("_by_name", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self._by_name: dict[str, Value] | None = None

    def has(self, name: str) -> bool:
        """Whether the sender set the property."""
        return name.lower() in self._properties()

    def get(self, name: str) -> Value:
        """The value of the sender's property, `None` if there is none."""
        return self._properties().get(name.lower())

    def _properties(self) -> dict[str, Value]:
        if self._by_name is None:
            self._by_name = {name.lower(): value for name, value in self.message.application_properties.items()}
        return self._by_name


Node = Callable[[Subject], Value]


def compile_filter(text: str, parameters: Mapping[str, Value] | None = None) -> Node:
    """Reads a filter.

    Args:
        text: The expression.
        parameters: The values of `@names` in it, with or without the `@`.

    Returns:
        What the expression is for a message; the filter matches if that is `True`. It raises `SqlError` where the
        expression can't be computed: a division by zero.

    Raises:
        SqlError: The text is no filter: what is wrong, and where.
    """
    if len(text) > MAX_LENGTH:
        raise SqlError(f"it has {len(text)} characters; a filter has at most {MAX_LENGTH}")
    return Parser(text, parameters or {}).parse()


class Parser:
    """Reads one expression, from its loosest operators to its values."""

    def __init__(self, text: str, parameters: Mapping[str, Value]) -> None:
        self._tokens = list(tokens(text))
        self._next = 0
        self._depth = 0
        self._parameters = {name.lstrip("@").lower(): value for name, value in parameters.items()}

    def parse(self) -> Node:
        """The whole of it. Raises `SqlError`."""
        node = self._or()
        if self._next < len(self._tokens):
            raise self._unexpected("the end, AND or OR")
        return node

    # ── predicates, the loosest first ────────────────────────────────────────────────────────────────────

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise SqlError(f"it is nested more than {_MAX_DEPTH} deep")
        parts = [self._and()]
        while self._keyword("or"):
            parts.append(self._and())
        self._depth -= 1
        return _folded(values.either, parts)

    def _and(self) -> Node:
        parts = [self._not()]
        while self._keyword("and"):
            parts.append(self._not())
        return _folded(values.both, parts)

    def _not(self) -> Node:
        negations = 0
        while self._keyword("not"):
            negations += 1
        node = self._predicate()
        # Twice is not the same as never: of what is no truth value it makes unknown.
        for _ in range(min(negations, 2 - negations % 2)):
            node = _negation(node)
        return node

    def _predicate(self) -> Node:
        left = self._sum()
        token = self._peek()
        if token is not None and token.kind == "symbol" and token.text in values.COMPARISONS:
            self._next += 1
            right = self._sum()
            return lambda subject: values.compared(token.text, left(subject), right(subject))
        if self._keyword("is"):
            negative = self._keyword("not")
            self._expect_keyword("null")
            return lambda subject: (left(subject) is None) is not negative
        negative = self._keyword("not")
        if self._keyword("in"):
            node = self._in(left)
        elif self._keyword("like"):
            node = self._like(left)
        elif negative:
            raise self._unexpected("IN or LIKE")
        else:
            return left
        return _negation(node) if negative else node

    def _in(self, left: Node) -> Node:
        self._expect("(")
        options = [self._sum()]
        while self._symbol(","):
            options.append(self._sum())
        self._expect(")")
        return lambda subject: values.contained(left(subject), [option(subject) for option in options])

    def _like(self, left: Node) -> Node:
        pattern = self._sum()
        escape = self._sum() if self._keyword("escape") else _constant(None)
        return lambda subject: values.alike(left(subject), pattern(subject), escape(subject))

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────

    def _sum(self) -> Node:
        first, rest = self._product(), []
        while symbol := self._symbol("+", "-"):
            rest.append((symbol, self._product()))
        return _arithmetic(first, rest)

    def _product(self) -> Node:
        first, rest = self._factor(), []
        while symbol := self._symbol("*", "/", "%"):
            rest.append((symbol, self._factor()))
        return _arithmetic(first, rest)

    def _factor(self) -> Node:
        signs: list[str] = []
        while symbol := self._symbol("+", "-"):
            signs.append(symbol)
        node = self._primary()
        return _sign("-" if signs.count("-") % 2 else "+", node) if signs else node

    def _primary(self) -> Node:
        token = self._peek()
        if token is None:
            raise self._unexpected("a value")
        self._next += 1
        match token.kind, token.text:
            case "symbol", "(":
                node = self._or()
                self._expect(")")
                return node
            case "number", text:
                return _constant(_number(text))
            case "string", text:
                return _constant(text)
            case "keyword", "null":
                return _constant(None)
            case "keyword", ("true" | "false") as text:
                return _constant(text == "true")
            case "keyword", "exists":
                return self._exists()
            case "parameter", text:
                name = text[1:].lower()
                if name not in self._parameters:
                    raise SqlError(f"{text} has no value")
                return _constant(self._parameters[name])
            case "name", text:
                return self._property(text)
        self._next -= 1
        raise self._unexpected("a value")

    def _exists(self) -> Node:
        self._expect("(")
        scope, name = self._scoped(self._name())
        self._expect(")")
        if scope == "sys":
            system = _system(name)
            return lambda subject: system(subject.message) is not None
        return lambda subject: subject.has(name)

    def _property(self, first: str) -> Node:
        if self._symbol("("):
            return self._function(first)
        scope, name = self._scoped(first)
        if scope == "sys":
            system = _system(name)
            return lambda subject: system(subject.message)
        return lambda subject: subject.get(name)

    def _function(self, name: str) -> Node:
        if name.lower() not in {"property", "p"}:
            raise SqlError(f"the emulator has no function {name}(); it has property(name), also written p(name)")
        argument = self._sum()
        self._expect(")")
        return lambda subject: subject.get(str(argument(subject)))

    def _scoped(self, first: str) -> tuple[str, str]:
        if not self._symbol("."):
            return "user", first
        scope = first.lower()
        if scope not in {"sys", "user"}:
            raise SqlError(f"{first}. is no scope: it is sys. or user.")
        return scope, self._name()

    def _name(self) -> str:
        token = self._peek()
        # After the scope, a keyword is a name like any other.
        if token is None or token.kind not in {"name", "keyword"}:
            raise self._unexpected("a property's name")
        self._next += 1
        return token.text

    # ── words ────────────────────────────────────────────────────────────────────────────────────────────

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _keyword(self, text: str) -> bool:
        token = self._peek()
        found = token is not None and token.kind == "keyword" and token.text == text
        self._next += found
        return found

    def _symbol(self, *texts: str) -> str | None:
        token = self._peek()
        if token is None or token.kind != "symbol" or token.text not in texts:
            return None
        self._next += 1
        return token.text

    def _expect(self, text: str) -> None:
        if self._symbol(text) is None:
            raise self._unexpected(text)

    def _expect_keyword(self, text: str) -> None:
        if not self._keyword(text):
            raise self._unexpected(text.upper())

    def _unexpected(self, wanted: str) -> SqlError:
        token = self._peek()
        if token is None:
            return SqlError(f"it ends where {wanted} should be")
        return SqlError(f"character {token.position} ({token.text}): {wanted} should be here")


def _constant(value: Value) -> Node:
    return lambda subject: value  # noqa: ARG005 - a node takes the message


# Chains are computed in a loop: one node in the other, a long filter would need more stack than Python has.
def _folded(function: Callable[[Value, Value], Value], nodes: Sequence[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else lambda subject: reduce(function, (node(subject) for node in nodes))


def _arithmetic(first: Node, rest: Sequence[tuple[str, Node]]) -> Node:
    def node(subject: Subject) -> Value:
        value = first(subject)
        for symbol, other in rest:
            value = values.computed(symbol, value, other(subject))
        return value

    return node if rest else first


def _negation(node: Node) -> Node:
    return lambda subject: values.negated(node(subject))


def _sign(symbol: str, node: Node) -> Node:
    return lambda subject: values.signed(symbol, node(subject))


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)


def _system(name: str) -> Callable[[Message], Value]:
    found = SYSTEM.get(name.lower())
    if found is None:
        raise SqlError(f"sys.{name} isn't a system property that the emulator filters by; it has {', '.join(SYSTEM)}")
    return found
