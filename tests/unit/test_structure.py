"""The script that measures the structure catches what it is for, and finds none of it in cloudq."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import structure

LAYERS = ["top", "left | right", "bottom"]


def examined(tmp_path: Path, files: dict[str, str]) -> structure.Structure:
    """A package of these files, each room of which has its `__init__`."""
    package = tmp_path / "house"
    for name, source in {"__init__.py": "", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != package:
            (path.parent / "__init__.py").touch()
        path.write_text(source, encoding="utf-8")
    return structure.examine(package, LAYERS)


def test_cloudq_keeps_its_structure() -> None:
    """No fault in the library itself; the figures say how much room is left."""
    found = structure.examine(structure.ROOT / "cloudq", structure.layers_in(structure.ROOT / "pyproject.toml"))
    assert [] == list(found.faults)
    assert len(found.modules) > 200
    assert len(found.arrows) > 1_000
    assert f"{len(found.rooms)} rooms (at most {structure.MOST_ROOMS})" in found.figures()


def test_downward_imports_are_fine(tmp_path: Path) -> None:
    """Of modules, of names in them, of rooms, absolute and relative ones."""
    found = examined(
        tmp_path,
        {
            "top/a.py": "import house.left.b\nfrom house.bottom import c\nfrom house import right\nfrom . import z",
            "top/z.py": "",
            "left/b.py": "from ..bottom.c import C",
            "right/d.py": "",
            "bottom/c.py": "C = 1",
        },
    )
    assert [] == list(found.faults)
    assert {
        ("house.top.a", "house.left.b"),
        ("house.top.a", "house.bottom.c"),
        ("house.top.a", "house.right"),
        ("house.top.a", "house.top.z"),
        ("house.left.b", "house.bottom.c"),
    } == set(found.arrows)


@pytest.mark.parametrize(
    "source",
    [
        "import house.top.a",
        "from house.top import a",
        "from house.top.a import A",
        "from ..top.a import A",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.top.a import A",
        "def f():\n    from house.top import a",
    ],
)
def test_an_import_of_a_room_further_up_is_caught(tmp_path: Path, source: str) -> None:
    """For types and inside functions, too."""
    found = examined(tmp_path, {"bottom/c.py": source, "top/a.py": "A = 1"})
    assert ["upward: house.bottom.c imports house.top.a"] == list(found.faults)


def test_rooms_side_by_side_do_not_know_each_other(tmp_path: Path) -> None:
    """An import between them is none that points down."""
    found = examined(tmp_path, {"left/b.py": "import house.right.d", "right/d.py": ""})
    assert ["upward: house.left.b imports house.right.d"] == list(found.faults)


def test_every_circle_is_caught(tmp_path: Path) -> None:
    """One for types alone, and one that leads through three modules."""
    found = examined(
        tmp_path,
        {
            "left/a.py": "import house.left.b",
            "left/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.left import a",
            "right/a.py": "import house.right.b",
            "right/b.py": "import house.right.c",
            "right/c.py": "def f():\n    import house.right.a",
        },
    )
    assert 2 == len(found.faults)
    assert all(fault.startswith("circle: ") for fault in found.faults)
    assert {"left", "right"} == {fault.split(".")[1] for fault in found.faults}


def test_emulators_may_have_circles_and_long_files(tmp_path: Path) -> None:
    """They are a product of their own."""
    package = tmp_path / "house"
    layers = [*LAYERS, "emulators"]
    (package / "emulators").mkdir(parents=True)
    for name, source in {
        "__init__": "",
        "a": "import house.emulators.b",
        "b": "import house.emulators.a" + "\n" * 400,
    }.items():
        (package / "emulators" / f"{name}.py").write_text(source, encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "top.py").touch()
    assert [] == list(structure.examine(package, layers).faults)


def test_a_long_file_is_caught(tmp_path: Path) -> None:
    """One line more than can be read in one sitting."""
    long = "\n" * (structure.MOST_LINES + 1)
    found = examined(tmp_path, {"left/a.py": long, "left/b.py": "\n" * structure.MOST_LINES})
    assert ["house.left.a has 351 lines, 350 at most"] == list(found.faults)


def test_too_many_rooms_are_caught(tmp_path: Path) -> None:
    """A file at the top is a room, too; one without a layer is named."""
    rooms = {f"room{chr(ord('a') + number)}.py": "" for number in range(structure.MOST_ROOMS + 1)}
    faults = list(examined(tmp_path, rooms).faults)
    most = structure.MOST_ROOMS
    assert faults[0].startswith(f"{most + 1} rooms at the top, {most} at most: rooma, ")
    assert "the room rooma has no layer" in faults


@pytest.mark.parametrize("name", ["wire2", "wire_2", "wire_part_b", "more_wire", "wire_misc", "helpers", "utils"])
def test_a_part_without_a_name_of_its_own_is_caught(tmp_path: Path, name: str) -> None:
    """A file is split where there are two things, and each has a name."""
    assert [f"house.left.{name} says nothing about what is in it"] == list(
        examined(tmp_path, {f"left/{name}.py": ""}).faults
    )


def test_cloudqs_modules_have_tests_of_their_names() -> None:
    """But for those that are left out with a reason."""
    tests = structure.ROOT / "tests/unit"
    assert [] == structure.untested(structure.ROOT / "cloudq", tests, structure.TESTED_ELSEWHERE)


def test_a_module_without_a_test_of_its_name_is_caught(tmp_path: Path) -> None:
    """In the same folder of the tests, that is; the face of a room needs none."""
    for name in ("house/left/a.py", "house/left/b.py", "house/left/__init__.py", "house/top.py", "house/right/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("tests/left/test_a.py", "tests/right/test_b.py", "tests/test_top.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    house, tests = tmp_path / "house", tmp_path / "tests"
    without = [f"house.{name} has no test file of its name" for name in ("left.b", "right.c")]
    assert without == structure.untested(house, tests)
    assert without[:1] == structure.untested(house, tests, ["house.right"])
    assert [] == structure.untested(house, tests, ["house.right.c", "house.left.b"])


def test_an_exception_that_is_none_is_caught(tmp_path: Path) -> None:
    """A module that has its test by now, or is gone; a name that only begins alike leaves nothing out."""
    for name in ("house/a.py", "tests/test_a.py", "house/room/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [
        "house.a is left out, and needs not be",
        "house.roo is left out, and needs not be",
        "house.room.b has no test file of its name",
    ] == structure.untested(tmp_path / "house", tmp_path / "tests", ["house.a", "house.roo"])
