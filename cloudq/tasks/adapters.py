"""Types that msgspec doesn't read as they are declared, and pydantic does: rules in Annotated, unions of models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, get_origin

import msgspec

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.hints import is_model, parts_of
from cloudq.tasks.models import names_taken

# msgspec silently ignores the rules of these packages; its own are msgspec.Meta.
_RULES_OF: Final = ("annotated_types", "pydantic", "pydantic_core", "sqlmodel")
_MARKS_OF_RULES: Final = ("__get_pydantic_core_schema__", "__is_annotated_types_grouped_metadata__")


class Adapter:
    """Reads values of one type by pydantic, strictly, from JSON.

    Args:
        hint: The declared type.
        what: The parameter, for messages.
        why: What msgspec can't do, for messages.

    Raises:
        TaskDefinitionError: pydantic isn't installed, or doesn't read such a type either.
    """

    def __init__(self, hint: Any, what: str, why: str) -> None:
        try:
            from pydantic import ConfigDict, TypeAdapter
        except ModuleNotFoundError as error:
            raise TaskDefinitionError(
                f"{what} {why}, which would not be checked", hint="pip install pydantic, or use msgspec.Meta(...)"
            ) from error
        if passed_over := next(_passed_over(hint), None):
            raise TaskDefinitionError(
                f"{what} {why}, which would not be checked: pydantic passes over {passed_over}",
                hint="use pydantic.AfterValidator(...), or msgspec.Meta(...)",
            )
        try:
            # Bytes are written as base64. A dataclass can't be given that setting; a tuple that holds one can.
            self._adapter: Any = TypeAdapter(tuple[hint], config=ConfigDict(val_json_bytes="base64"))
        except Exception as error:
            raise TaskDefinitionError(
                f"{what} {why}, which would not be checked: {str(error).splitlines()[0]}",
                hint="use msgspec.Meta(...), or a pydantic model with such a field",
            ) from error

    def read(self, value: object) -> Any:
        """The value.

        Raises:
            ValueError: pydantic's ValidationError: it doesn't fit.
        """
        [read] = self._adapter.validate_json(msgspec.json.encode([value]), strict=True, **names_taken())
        return read

    @staticmethod
    def within(path: str) -> str:
        """Where in the value pydantic's path leads to."""
        return path.removeprefix("[0]")


def has_rules(hint: Any) -> bool:
    """Whether a type, or what it is made of, holds rules of pydantic's or of annotated_types, outside of a model."""
    return any(map(_is_rule, _metadata(hint)))


def _metadata(hint: Any) -> Iterator[object]:
    """What annotations say beside the types, in a type and in all that it is made of."""
    for part in parts_of(hint):
        if get_origin(part) is Annotated:
            yield from part.__metadata__


def _is_rule(rule: object) -> bool:
    """Whether pydantic would apply it: a rule of these packages, or one of the user's own, by class or by its marks."""
    return any(hasattr(rule, mark) for mark in _MARKS_OF_RULES) or any(
        kind.__module__.partition(".")[0] in _RULES_OF for kind in type(rule).__mro__
    )


def _passed_over(hint: Any) -> Iterator[str]:
    """The rules of annotated_types that pydantic (2.14) accepts silently and doesn't apply."""
    todo = list(_metadata(hint))
    while todo:
        rule = todo.pop()
        kind = type(rule)
        if hasattr(rule, "__get_pydantic_core_schema__"):
            continue
        if hasattr(rule, "__is_annotated_types_grouped_metadata__") and isinstance(rule, Iterable):
            todo += rule
        elif any(base.__module__ == "annotated_types" for base in kind.__mro__) and (
            kind.__module__.partition(".")[0] not in _RULES_OF or kind.__name__ == "Timezone"
        ):
            yield kind.__name__


def has_models(hint: Any) -> bool:
    """Whether a type is, or holds, a pydantic model."""
    return any(is_model(get_origin(part) or part) for part in parts_of(hint))
