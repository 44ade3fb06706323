"""The structure of the library in figures, and the bounds that it keeps. Part of `make check`.

    python -m tests.structure

It reads every import, those for types and those inside functions too, and refuses: too many rooms, an import of a room
further up, modules that import each other in a circle, files that can't be read in one sitting, files split into
numbered parts, and modules without a test file of their name. The order of the rooms is that of import-linter's first
contract in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = "cloudq"
# A room that comes later raises this in the commit that adds it, and has its sentence in architecture.md.
MOST_ROOMS: Final = 26
MOST_LINES: Final = 350
# The face of the package loads its names at their first use; `__main__` starts the command line.
OUTSIDE_THE_ROOMS: Final = frozenset({"__init__", "__main__"})
MAY_HAVE_CIRCLES: Final = frozenset({"emulators"})
MAY_BE_LONG: Final = frozenset({"emulators", "testing"})
# A part that has no name of its own: `wire2`, `wire_part_2`, `more_wire`, `wire_misc`.
NAMELESS: Final = re.compile(r"(?:.*_)?(?:part|more|rest|misc|helpers|utils?|common)(?:_.*)?|.*[a-z]_?[2-9]")

# Modules whose name is another library's, since programs import it by that name.
NAMED_BY_OTHERS: Final = frozenset({"cloudq.compat.celery.utils"})

# Modules, or packages, without a test file of their own name, and why.
TESTED_ELSEWHERE: Final = {
    "cloudq.compat.celery.contracts": "only protocols, which task and app keep: mypy checks it",
    "cloudq.cli.doctor.faults_around": "only data, which test_catalogue.py reads",
    "cloudq.cli.doctor.faults_of_dead_letters": "only data, which test_catalogue.py reads",
    "cloudq.cli.doctor.faults_of_handing_over": "only data, which test_catalogue.py reads",
    "cloudq.cli.doctor.faults_of_queues": "only data, which test_catalogue.py reads",
    "cloudq.cli.doctor.fixing": "only texts, which test_catalogue.py reads in the faults",
    "cloudq.compat.celery.bridge.old_queue": "only a protocol, which the two queues keep: mypy checks it",
    "cloudq.compat.celery.bridge.stays": "only values, which test_reading.py and test_mapping.py read",
    "cloudq.compat.celery.bridge.tally": "only values, which test_moving.py reads",
    "cloudq.core.tracing": "only protocols, which telemetry's Spans keeps: mypy checks it, and test_spans.py calls it",
    "cloudq.telemetry.standing": "only values, which test_prometheus.py and worker/test_serving.py read",
    "cloudq.core.claiming": "only protocols, whose calls test_claim_steps.py makes: mypy checks them",
    "cloudq.emulators": "by what clients of the services see of them, whatever module answers",
    "cloudq.testing.stores": "it is tests; test_store_kit_catches.py breaks a store for each",
    "cloudq.testing.conformance": "it is tests; test_conformance_catches.py breaks a driver for each",
    "cloudq.user_database.refusals": "only texts, which the tests of those who raise them read",
    "cloudq.integrations.django.inbox": "an app, its model and its migration, which test_tables.py holds to our own",
    "cloudq.integrations.django.models": "a model without a table, whose page test_admin.py opens",
    "cloudq.integrations.django.outbox": "an app, its model and its migration, which test_tables.py holds to our own",
    "cloudq.outbox.rows": "only values, which test_settling.py and test_taking.py read",
    "cloudq.tasks.home": "only a protocol, which App keeps: mypy checks it",
    "cloudq.worker.in_hand": "only values, which test_intake.py and test_service.py read",
}


class Arrow(NamedTuple):
    """One module imports another."""

    source: str
    target: str


class Structure(NamedTuple):
    """What was found."""

    modules: Mapping[str, int]
    arrows: frozenset[Arrow]
    rooms: frozenset[str]
    faults: Sequence[str]

    def figures(self) -> str:
        """The figures in one line."""
        between = {
            (room(arrow.source), room(arrow.target))
            for arrow in self.arrows
            if room(arrow.source) != room(arrow.target)
        }
        longest = max(
            (name for name in self.modules if room(name) not in MAY_BE_LONG), key=lambda name: self.modules[name]
        )
        return (
            f"{len(self.rooms)} rooms (at most {MOST_ROOMS}), {len(self.modules)} files, "
            f"{len(self.arrows)} imports, {len(between)} arrows between rooms; "
            f"the longest file is {longest} with {self.modules[longest]} lines (at most {MOST_LINES})"
        )


def examine(package: Path, layers: Sequence[str]) -> Structure:
    """Reads a package.

    Args:
        package: Its folder.
        layers: The rooms from the top to the bottom, as import-linter writes them: `"a | b"` are side by side.
    """
    files = {_module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    sources = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    modules = {name: len(source.splitlines()) for name, source in sources.items()}
    packages = {name for name, path in files.items() if path.name == "__init__.py"}
    arrows = frozenset(
        Arrow(name, target)
        for name, source in sources.items()
        for target in _imported(name, source, modules, packages)
        if target != name
    )
    rooms = frozenset(room(name) for name in modules) - OUTSIDE_THE_ROOMS
    faults = [
        *_too_many_rooms(rooms),
        *_without_a_layer(rooms, layers),
        *_upward(arrows, layers),
        *_circles(modules, arrows),
        *_too_long(modules),
        *_nameless(modules),
    ]
    return Structure(modules, arrows, rooms, faults)


def untested(package: Path, tests: Path, elsewhere: Iterable[str] = ()) -> list[str]:
    """The modules that no test file has the name of: `drivers/sqs/url.py` is mirrored by `drivers/sqs/test_url.py`.

    Args:
        package: Its folder.
        tests: The folder of its unit tests.
        elsewhere: Modules, or packages, that need none. One that has all its tests, or isn't there, is a fault too.
    """
    missing = [
        _module_name(path, package)
        for path in sorted(package.rglob("*.py"))
        if path.stem not in OUTSIDE_THE_ROOMS
        and not (tests / path.relative_to(package).with_name(f"test_{path.name}")).exists()
    ]
    left_out = {name for name in elsewhere if any(f"{module}.".startswith(f"{name}.") for module in missing)}
    return [
        *(f"{name} is left out, and needs not be" for name in sorted(set(elsewhere) - left_out)),
        *(
            f"{module} has no test file of its name"
            for module in missing
            if not any(f"{module}.".startswith(f"{name}.") for name in left_out)
        ),
    ]


def room(module: str) -> str:
    """The room of a module: the first part of its name behind the package's."""
    _, _, inner = module.partition(".")
    return inner.partition(".")[0] or "__init__"


def layers_in(project: Path) -> list[str]:
    """The layers that pyproject.toml names, from the top to the bottom."""
    contracts = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    return list(next(contract for contract in contracts if contract["type"] == "layers")["layers"])


def _module_name(path: Path, package: Path) -> str:
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, source: str, modules: Iterable[str], packages: Iterable[str]) -> Iterator[str]:
    """The modules of the package that this one imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, packages)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in modules:
                    yield inner
                elif base in modules:
                    yield base


def _base(node: ast.ImportFrom, name: str, packages: Iterable[str]) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - 1 if name in packages else node.level
    parts = name.split(".")
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _too_many_rooms(rooms: Iterable[str]) -> Iterator[str]:
    count = len(list(rooms))
    if count > MOST_ROOMS:
        yield f"{count} rooms at the top, {MOST_ROOMS} at most: {', '.join(sorted(rooms))}"


def _floors(layers: Sequence[str]) -> dict[str, int]:
    return {
        name.strip(): height
        for height, layer in enumerate(reversed(layers))
        for name in re.split(r"[|:]", layer)
    }  # fmt: skip


def _without_a_layer(rooms: Iterable[str], layers: Sequence[str]) -> Iterator[str]:
    floors = _floors(layers)
    yield from (f"the room {name} has no layer" for name in sorted(rooms) if name not in floors)


def _upward(arrows: Iterable[Arrow], layers: Sequence[str]) -> Iterator[str]:
    floors = _floors(layers)
    for source, target in sorted(arrows):
        here, there = room(source), room(target)
        if here in OUTSIDE_THE_ROOMS or here == there:
            continue
        if there in OUTSIDE_THE_ROOMS:
            if there == "__main__":
                yield f"upward: {source} imports {target}"
        elif here in floors and there in floors and floors[there] >= floors[here]:
            yield f"upward: {source} imports {target}"


def _circles(modules: Iterable[str], arrows: Iterable[Arrow]) -> Iterator[str]:
    """One circle of each tangle, mended one after the other."""
    graph: dict[str, set[str]] = {name: set() for name in modules if room(name) not in MAY_HAVE_CIRCLES}
    for source, target in sorted(arrows):
        if source in graph and target in graph:
            graph[source].add(target)
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]
            yield "circle: " + " → ".join(reversed(circle))
            for name in circle:
                graph[name] -= set(circle)
        else:
            return


def _too_long(modules: Mapping[str, int]) -> Iterator[str]:
    for name, lines in sorted(modules.items()):
        if lines > MOST_LINES and room(name) not in MAY_BE_LONG:
            yield f"{name} has {lines} lines, {MOST_LINES} at most"


def _nameless(modules: Iterable[str]) -> Iterator[str]:
    for name in sorted(modules):
        if NAMELESS.fullmatch(name.rpartition(".")[2]) and name not in NAMED_BY_OTHERS:
            yield f"{name} says nothing about what is in it"


def main() -> int:
    """Prints the figures and what is wrong. Returns 1 if anything is."""
    structure = examine(ROOT / PACKAGE, layers_in(ROOT / "pyproject.toml"))
    faults = [*structure.faults, *untested(ROOT / PACKAGE, ROOT / "tests/unit", TESTED_ELSEWHERE)]
    sys.stdout.write(structure.figures() + "\n")
    for fault in faults:
        sys.stdout.write(fault + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
