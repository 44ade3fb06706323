"""The part of Terraform's plugin protocol (version 6) that the stub speaks, as protobuf messages made at import.

The field numbers are those of `tfplugin6.proto`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "int64": _FIELD.TYPE_INT64,
    "int32": _FIELD.TYPE_INT32,  # an enum travels as one
}

# Each message's fields: "number name type", with a * after the type of what is repeated.
_MESSAGES: Final[Mapping[str, str]] = {
    "Empty": "",
    "DynamicValue": "1 msgpack bytes, 2 json bytes",
    "Diagnostic": "1 severity int32, 2 summary string, 3 detail string",
    "Attribute": "1 name string, 2 type bytes, 4 required bool, 5 optional bool, 6 computed bool",
    "Block": "1 version int64, 2 attributes Attribute*, 3 block_types NestedBlock*",
    "NestedBlock": "1 type_name string, 2 block Block, 3 nesting int32, 4 min_items int64, 5 max_items int64",
    "Schema": "1 version int64, 2 block Block",
    "SchemaEntry": "1 key string, 2 value Schema",
    "Schemas": "1 provider Schema, 2 resource_schemas SchemaEntry*, 3 data_source_schemas SchemaEntry*",
    "ValidateProviderAnswer": "2 diagnostics Diagnostic*",
    "ValidateRequest": "1 type_name string, 2 config DynamicValue",
    "Diagnostics": "1 diagnostics Diagnostic*",
    "ReadDataAnswer": "1 state DynamicValue, 2 diagnostics Diagnostic*",
    "ReadResourceAnswer": "1 new_state DynamicValue, 2 diagnostics Diagnostic*",
    "PlanRequest": "1 type_name string, 2 prior_state DynamicValue, 3 proposed_new_state DynamicValue",
    "PlanAnswer": "1 planned_state DynamicValue, 4 diagnostics Diagnostic*",
    "ApplyAnswer": "1 new_state DynamicValue, 3 diagnostics Diagnostic*",
}


def _load() -> Mapping[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="cloudq_stub.proto", package="cloudq_stub", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            number, label, kind = field.split()
            repeated, kind = kind.endswith("*"), kind.rstrip("*")
            message.field.add(
                name=label,
                number=int(number),
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
                type=_SCALARS.get(kind, _FIELD.TYPE_MESSAGE),
                type_name=None if kind in _SCALARS else f".cloudq_stub.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"cloudq_stub.{name}")) for name in _MESSAGES
    }


MESSAGES: Final = _load()


def message(name: str, /, **fields: Any) -> Message:
    """One message of the protocol."""
    return MESSAGES[name](**fields)


def parser(name: str) -> Callable[[bytes], Message]:
    """What reads a message of this name."""
    return MESSAGES[name].FromString


def serialize(answer: Message) -> bytes:
    """What writes any message."""
    return answer.SerializeToString()
