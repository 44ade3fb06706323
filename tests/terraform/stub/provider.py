"""A Terraform provider that has the real one's schema and nothing behind it: for checks without a network.

`terraform validate` finds with it what isn't in the schema (names, types, what is required, what is read-only), and
`terraform plan` shows what would be made. It creates, reads and changes nothing. One process serves all commands:
Terraform is told of it by TF_REATTACH_PROVIDERS, so nothing is installed, and no lock file names it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
from google.protobuf.message import Message

from tests.terraform.stub.protocol import message, parser, serialize

SCHEMAS: Final = Path(__file__).parent / "schemas"
_NESTING: Final = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
_UNKNOWN: Final = msgspec.msgpack.Ext(0, b"\0")
_ERROR: Final = 1
_REFUSAL: Final = "this provider has a schema and nothing behind it: it can't create, read or change anything"


class Stub:
    """Answers Terraform's calls from a document of schemas.

    Args:
        document: `provider`, `resource_schemas` and `data_source_schemas` as `terraform providers schema -json` has
            them, and `answers`: what each data source reads.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def schemas(self, _request: Message) -> Message:
        """All schemas."""
        return message(
            "Schemas",
            provider=_schema(self._document["provider"]),
            resource_schemas=_entries(self._document["resource_schemas"]),
            data_source_schemas=_entries(self._document["data_source_schemas"]),
        )

    def validate_resource(self, request: Any) -> Message:
        """Refuses what the configuration sets though only the service does; Terraform itself checks the rest."""
        block = self._document["resource_schemas"][request.type_name]["block"]
        return message(
            "Diagnostics",
            diagnostics=[
                _error("Value for unconfigurable attribute", f'Can\'t configure a value for "{path}".')
                for path in _unconfigurable(block, _value(request.config))
            ],
        )

    def read_data(self, request: Any) -> Message:
        """What the document says that the data source reads."""
        state = _value(request.config) | self._document["answers"].get(request.type_name, {})
        return message("ReadDataAnswer", state=_dynamic(state))

    def plan(self, request: Any) -> Message:
        """What is asked for, with everything unknown that the service decides."""
        block = self._document["resource_schemas"][request.type_name]["block"]
        planned = _value(request.proposed_new_state)
        if planned is not None:
            _blank_computed(block, planned)
        return message("PlanAnswer", planned_state=_dynamic(planned))

    def handlers(self) -> Mapping[str, tuple[str, Callable[[Any], Message]]]:
        """By the call's name: the message that it takes, and what answers."""

        def refuse(answer: str) -> tuple[str, Callable[[Any], Message]]:
            return "Empty", lambda _request: message(answer, diagnostics=[_error("no such service", _REFUSAL)])

        return {
            "GetProviderSchema": ("Empty", self.schemas),
            "ValidateProviderConfig": ("Empty", lambda _request: message("ValidateProviderAnswer")),
            "ValidateResourceConfig": ("ValidateRequest", self.validate_resource),
            "ValidateDataResourceConfig": ("Empty", lambda _request: message("Diagnostics")),
            "ConfigureProvider": ("Empty", lambda _request: message("Diagnostics")),
            "StopProvider": ("Empty", lambda _request: message("Empty")),
            "ReadDataSource": ("ValidateRequest", self.read_data),
            "PlanResourceChange": ("PlanRequest", self.plan),
            "ReadResource": refuse("ReadResourceAnswer"),
            "ApplyResourceChange": refuse("ApplyAnswer"),
        }


def _value(dynamic: Any) -> Any:
    return msgspec.msgpack.decode(dynamic.msgpack) if dynamic.msgpack else json.loads(dynamic.json or b"null")


def _dynamic(value: object) -> Message:
    return message("DynamicValue", msgpack=msgspec.msgpack.encode(value))


def _error(summary: str, detail: str) -> Message:
    return message("Diagnostic", severity=_ERROR, summary=summary, detail=detail)


def _entries(schemas: Mapping[str, Any]) -> list[Message]:
    return [message("SchemaEntry", key=name, value=_schema(schema)) for name, schema in schemas.items()]


def _schema(schema: Mapping[str, Any]) -> Message:
    return message("Schema", version=schema.get("version", 0), block=_block(schema["block"]))


def _block(block: Mapping[str, Any]) -> Message:
    attributes = [
        message(
            "Attribute",
            name=name,
            type=json.dumps(attribute["type"]).encode(),
            **{flag: attribute.get(flag, False) for flag in ("required", "optional", "computed")},
        )
        for name, attribute in sorted(block.get("attributes", {}).items())
    ]
    nested = [
        message(
            "NestedBlock",
            type_name=name,
            block=_block(child["block"]),
            nesting=_NESTING[child["nesting_mode"]],
            min_items=child.get("min_items", 0),
            max_items=child.get("max_items", 0),
        )
        for name, child in sorted(block.get("block_types", {}).items())
    ]
    return message("Block", attributes=attributes, block_types=nested)


def _unconfigurable(block: Mapping[str, Any], value: Any, path: str = "") -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("computed") and not attribute.get("optional") and value.get(name) is not None:
            yield path + name
    for name, child in block.get("block_types", {}).items():
        found = value.get(name)
        for one in found if isinstance(found, list) else [found]:
            yield from _unconfigurable(child["block"], one, f"{path}{name}.")


def _blank_computed(block: Mapping[str, Any], value: dict[str, Any]) -> None:
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("computed") and value.get(name) is None:
            value[name] = _UNKNOWN


def server(document: Mapping[str, Any], socket: Path) -> grpc.Server:
    """A server that answers on a socket once it is started."""

    def method(takes: str, answer: Callable[[Any], Message]) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: answer(request), request_deserializer=parser(takes), response_serializer=serialize
        )

    made = grpc.server(futures.ThreadPoolExecutor(8))
    calls = {name: method(takes, answer) for name, (takes, answer) in Stub(document).handlers().items()}
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin6.Provider", calls),))
    made.add_insecure_port(f"unix://{socket}")
    return made


def main(folder: Path) -> None:
    """Serves every schema, each on a socket in the folder, until stdin ends; says on stdout what Terraform takes."""
    attached: dict[str, object] = {}
    servers: list[grpc.Server] = []
    for schema in sorted(SCHEMAS.glob("*.json")):
        document = json.loads(schema.read_text(encoding="utf-8"))
        socket = folder / schema.stem
        servers.append(server(document, socket))
        servers[-1].start()
        attached[document["source"]] = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,  # Terraform doesn't end it
            "Addr": {"Network": "unix", "String": str(socket)},
        }
    print(json.dumps(attached), flush=True)
    sys.stdin.read()
    for one in servers:
        one.stop(None).wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
