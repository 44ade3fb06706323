"""Types that msgspec doesn't read as they are declared, and pydantic does: rules in Annotated, unions of models."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_origin

import msgspec

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.hints import is_model, parts_of
from cloudq.tasks.models import names_taken

# Whose rules msgspec passes over without a word: those of its own are msgspec.Meta.
_RULES_OF: Final = ("annotated_types", "pydantic", "pydantic_core", "sqlmodel")


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
            from pydantic import TypeAdapter
        except ModuleNotFoundError as error:
            raise TaskDefinitionError(
                f"{what} {why}, which would not be checked", hint="pip install pydantic, or use msgspec.Meta(...)"
            ) from error
        try:
            self._adapter: Any = TypeAdapter(hint)
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
        return self._adapter.validate_json(msgspec.json.encode(value), strict=True, **names_taken())


def has_rules(hint: Any) -> bool:
    """Whether a type, or what it is made of, holds rules of pydantic's or of annotated_types, outside of a model."""
    return any(
        type(rule).__module__.partition(".")[0] in _RULES_OF
        for part in parts_of(hint)
        if get_origin(part) is Annotated
        for rule in part.__metadata__
    )


def has_models(hint: Any) -> bool:
    """Whether a type is, or holds, a pydantic model."""
    return any(is_model(get_origin(part) or part) for part in parts_of(hint))
