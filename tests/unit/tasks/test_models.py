"""pydantic's models in payloads: what one writes, it reads; secrets stay where they are."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime
from enum import Enum, EnumMeta
from typing import Any

import freezegun
import msgspec
import pydantic
import pytest
from pydantic import AliasChoices, BaseModel, Field
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from cloudq.tasks.models import first_error, is_frozen, is_table, names_taken, plain, read_value, write_value


class Plain(BaseModel):
    n: int = 0


class Aliased(BaseModel):
    n: int = Field(0, alias="theN")


class ReadAs(BaseModel):
    n: int = Field(0, validation_alias=AliasChoices("N", "en"))


class WrittenAs(BaseModel):
    n: int = Field(0, serialization_alias="out")


class Holder(BaseModel):
    held: list[ReadAs]


class Computed(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    n: int

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return 2 * self.n


class StrictDay(BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    day: date


class Badge(BaseModel):
    pin: pydantic.SecretStr = pydantic.SecretStr("hunter2")


class Wallet(BaseModel):
    badges: list[Badge]


class Note(BaseModel):
    text: str


class RowRead(SQLModel, table=True):
    id: int | None = Column(default=None, primary_key=True)


class RowData(SQLModel):
    id: int


class OwnMeta(EnumMeta):
    pass


class Level(Enum, metaclass=OwnMeta):
    LOW = "low"


@pytest.mark.parametrize(
    "model",
    [
        Plain(n=1),
        Aliased(theN=2),
        ReadAs(N=3),
        WrittenAs(n=4),
        Holder(held=[ReadAs(N=5), ReadAs(en=6)]),
        Computed(n=7),
        StrictDay(day=date(2026, 1, 2)),
        RowData(id=8),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_a_model_writes_it_reads(model: Any) -> None:
    """Aliases of one side, computed fields and strict models included."""
    written = write_value(model)
    assert isinstance(written, msgspec.Raw)
    assert model == read_value(type(model), msgspec.json.decode(bytes(written)))


def test_a_secret_is_not_written() -> None:
    """pydantic would write asterisks, and the task would get those. Wherever it is, and it isn't shown."""
    for model in (Badge(), Wallet(badges=[Badge()])):
        with pytest.raises(ValueError, match="holds a secret, which pydantic would replace") as caught:
            write_value(model)
        assert "hunter2" not in str(caught.value)


def test_asterisks_are_no_secret() -> None:
    """A text that looks like pydantic's mask travels."""
    assert msgspec.Raw(b'{"text":"**********"}') == write_value(Note(text="*" * 10))


def test_the_rest_is_written_as_plain_values() -> None:
    """What is no model."""
    assert "low" == write_value(Level.LOW)
    with pytest.raises(TypeError, match="a complex isn't a JSON value"):
        write_value(1j)


def test_freezeguns_types_are_read_as_the_real_ones() -> None:
    """An annotation that is resolved while time is frozen names freezegun's own types."""
    with freezegun.freeze_time("2026-01-02"):
        import datetime as dt

        moment, day = dt.datetime, dt.date
    assert is_frozen(moment)
    assert is_frozen(day)
    assert not is_frozen(datetime)
    assert not is_frozen(Level)
    assert datetime(2026, 1, 2) == read_value(moment, "2026-01-02T00:00:00")  # noqa: DTZ001 - as it was written
    assert type(read_value(moment, "2026-01-02T00:00:00")) is datetime
    assert type(read_value(day, "2026-01-02")) is date


def test_another_type_is_not_read() -> None:
    """It is named."""
    with pytest.raises(TypeError, match="a complex can't be read from JSON"):
        read_value(complex, "1j")


def test_only_a_table_is_a_table() -> None:
    """A SQLModel without `table=True` is a model like any other."""
    assert is_table(RowRead)
    assert not any(map(is_table, (RowData, Plain, Level, int, "RowRead")))


def test_a_field_is_taken_by_its_name_too_where_pydantic_can() -> None:
    """From 2.11 on; before, a field with one name for reading and another for writing travels as pydantic has it."""
    major, minor = (int(part) for part in pydantic.VERSION.split(".")[:2])
    assert bool(names_taken()) == ((major, minor) >= (2, 11))


def test_a_model_is_looked_into_as_a_dict() -> None:
    """Anything else is nothing that can be looked into."""
    assert {"held": [{"n": 1}]} == plain(Holder(held=[ReadAs(N=1)]))
    assert plain(1j) is None


def test_the_first_complaint_has_a_path_and_no_input() -> None:
    """What the field held may be a secret."""
    with pytest.raises(pydantic.ValidationError) as caught:
        Holder.model_validate({"held": [{"N": 1}, {"N": "hunter2"}]})
    path, text = first_error(caught.value) or ("", "")
    assert ".held[1].N" == path
    assert text.startswith("Input should be a valid integer")
    assert "hunter2" not in text


def test_other_errors_are_not_pydantics() -> None:
    """Nor is an error of pydantic's that has no list of complaints."""
    assert first_error(ValueError("x")) is None
    assert first_error(pydantic.errors.PydanticUserError("x", code=None)) is None


def test_pydantic_is_not_imported_for_a_user_without_it() -> None:
    """Models are known by their marks."""
    program = "import sys, cloudq.tasks.binding; sys.exit('pydantic' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
