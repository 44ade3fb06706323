"""`Wire`: calls as a botocore client makes them, at a small part of its cost.

```
 parameters ─ JSON ─▶ body ─ Signer ─▶ request ─ Line ─▶ Answer ─ JSON ─▶ result
              └──── Operation: what botocore decided, once ────┘
```

Credentials, region, endpoint, TLS, proxies and the pool of connections are the client's own; what is saved is the way
through its serializer, events, rules and parsers, through urllib3 and `http.client`. So a result, an error and each
header are those of the client. What isn't usual goes through botocore's own parts: parameters and results of another
form than the quick ones take, and all errors of the service.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec

from cloudq.aws_wire.credentials import Renewal
from cloudq.aws_wire.genuine import flaw, is_as_sent, undecided
from cloudq.aws_wire.http_answer import Answer
from cloudq.aws_wire.http_bodies import BrokenAnswer
from cloudq.aws_wire.line import Line
from cloudq.aws_wire.refusals import ONE_TRY, parsed, refusal
from cloudq.aws_wire.service import Operation, Unusual
from cloudq.aws_wire.signing import Signer

T = TypeVar("T")

# Ten messages of 1 MiB, of which each byte is escaped.
MOST_BODY: Final = 64 * 1024 * 1024
_UNBOUNDED: Final = 60.0
_TRACE_CHARACTERS: Final = "-=;:+&[]{}\"',"  # as botocore has them
_encode: Final = msgspec.json.Encoder().encode


class Wire:
    """Makes calls of one service by a botocore client's settings. Threads may share it, a parent and its child may not.

    Args:
        client: The botocore client, with `connections.bind`.
        results: The type of each operation's result, a `TypedDict`, by the operation's name in the service's API.

    Raises:
        Unusual: The client's calls can't be made so.
    """

    def __init__(self, client: Any, results: Mapping[str, type]) -> None:
        from botocore.exceptions import BotoCoreError

        try:
            self._client = client
            self._operations = {name: Operation(client, name) for name in results}
            first = next(iter(self._operations.values()))
            self._service: dict[str, str] = first.model.service_model.metadata
            self._kind = f"application/x-amz-json-{self._service['jsonVersion']}"
            self._signer = Signer(first.region, first.service)
            self._line = Line(client, first.url, MOST_BODY)
            self._credentials: Any = client._request_signer._credentials
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unusual(f"this version of botocore or urllib3 isn't known: {error!r}") from error
        except BotoCoreError as error:  # it checks parameters, say, which isn't done here
            raise Unusual(str(error)) from error
        self._decode: dict[str, Callable[[bytes | memoryview], dict[str, Any]]] = {
            name: msgspec.json.Decoder(result).decode for name, result in results.items()
        }
        ends = hasattr(self._credentials, "refresh_needed")
        self._renewal = Renewal(self._credentials, _UNBOUNDED) if ends else None
        self._calls = count(1)
        self._invocation = str(uuid4())[:-12]
        self._on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ

    def call(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Makes a call; returns what the client would.

        Args:
            name: The operation's, one of those that it was made for.
            parameters: As the client takes them.

        Raises:
            ClientError: Botocore's: the service refused it.
            BotoCoreError: Botocore's: it couldn't be signed, or there was no connection.
            BackendUnavailable: What came is no whole answer of the service, so the call may have been carried out or
                not; or the credentials weren't renewed in time.
        """
        operation = self._operations[name]
        request = self._request(operation, self._body(operation, parameters))
        try:
            answer = self._line.exchange(request)
        except BrokenAnswer as error:
            raise undecided(name, f"the answer {error}") from error
        return self._result(operation, answer)

    def close(self) -> None:
        """Closes its idle connections, not the client. A later call opens one."""
        self._line.close()

    def _body(self, operation: Operation, parameters: Mapping[str, Any]) -> bytes:
        try:
            return _encode(parameters)
        except (TypeError, ValueError):  # a half of a surrogate pair, say
            body: bytes = self._client._serializer.serialize_to_request(parameters, operation.model)["body"]
            return body

    def _request(self, operation: Operation, body: bytes) -> bytes:
        if self._credentials is None:
            from botocore.exceptions import NoCredentialsError

            raise NoCredentialsError
        held = self._renewal
        credentials = self._credentials.get_frozen_credentials() if held is None else held.frozen()
        try:
            signed = self._signer.sign(operation.form(credentials.token), body, credentials)
        except ValueError as error:
            from botocore.exceptions import HTTPClientError

            raise HTTPClientError(error=error) from error
        head = (
            f"{self._line.opening}{operation.head}{self._trace()}{signed}"
            f"amz-sdk-invocation-id: {self._invocation}{next(self._calls) & 0xFFFFFFFFFFFF:012x}\r\n"
            f"amz-sdk-request: attempt=1; max=1\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _trace(self) -> str:
        """Lambda's header by which the traces of its invocations are joined. It changes with each invocation."""
        trace = os.environ.get("_X_AMZN_TRACE_ID") if self._on_lambda else None
        return f"X-Amzn-Trace-Id: {quote(trace, safe=_TRACE_CHARACTERS)}\r\n" if trace else ""

    def _result(self, operation: Operation, answer: Answer) -> dict[str, Any]:
        status, headers, body = answer.status, answer.headers, answer.body
        if (
            status >= 300
            or headers.get("content-type") != self._kind
            or not headers.get("x-amzn-requestid")
            or not body
            or not is_as_sent(headers, body)
        ):
            self._check(operation, answer)
            if status >= 300:
                raise self._parsed(operation, answer, lambda: refusal(self._client, answer, operation))
        try:
            result: dict[str, Any] = self._decode[operation.name](body) if body else {}
        except (msgspec.DecodeError, RecursionError):
            return self._unusual(operation, answer)
        result["ResponseMetadata"] = {
            "RequestId": headers["x-amzn-requestid"],
            "HTTPStatusCode": status,
            "HTTPHeaders": headers,
            **ONE_TRY,
        }
        return result

    def _check(self, operation: Operation, answer: Answer) -> None:
        wrong = flaw(answer.headers, bytes(answer.body), self._service, failed=answer.status >= 300)
        if wrong is not None:
            raise undecided(operation.name, f"the answer (status {answer.status}) {wrong}")

    def _unusual(self, operation: Operation, answer: Answer) -> dict[str, Any]:
        """What is whole, but not as the service's model has it: botocore makes of it what it can."""
        try:
            # As text: of bytes it would guess which Unicode they are, which botocore's parser doesn't.
            whole = isinstance(json.loads(bytes(answer.body).decode()), dict)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            raise undecided(operation.name, f"the answer (status {answer.status}) isn't a complete JSON object")
        result = self._parsed(operation, answer, lambda: parsed(answer, operation, operation.model.output_shape))
        result["ResponseMetadata"] |= ONE_TRY
        return result

    def _parsed(self, operation: Operation, answer: Answer, parse: Callable[[], T]) -> T:
        """What botocore's parser makes of an answer; where it has a number for a list, say, that parser just fails."""
        try:
            return parse()
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            what = f"the answer (status {answer.status}) isn't in the service's form"
            raise undecided(operation.name, what) from error
