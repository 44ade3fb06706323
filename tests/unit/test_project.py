"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import cloudq
import cloudq.testing
from cloudq import errors

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    ".ci",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "cloudq",
    "docs",
    "findings",
    "localstack",
    "pyproject.toml",
    "terraform",
    "tests",
}
# Written so that they don't match themselves.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp/bash)/[\w.]")
REGISTRY = re.compile(
    r"pypi\.(?!org/project/)|pythonhosted|artifactory|[-_](?:extra-)?index[-_]url|\bdevpi\b", re.IGNORECASE
)
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".tf", ".sh", ".cfg", ".txt", ""}
MOST_LINES = 350
# Emulators of whole services, and what is shipped for tests.
MOST_LINES_OF = {"emulators": 400, "testing": 400}


@cache
def tracked_files() -> list[Path]:
    """What git tracks, or in an unpacked source archive all there is."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]


def texts() -> list[tuple[Path, str]]:
    return [
        (path.relative_to(ROOT), path.read_text(encoding="utf-8"))
        for path in tracked_files()
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__)
    ]


def modules() -> list[Path]:
    found = sorted((ROOT / "cloudq").rglob("*.py"))
    assert len(found) > 20
    return found


def found_in_texts(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def found_in_modules(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def error_classes() -> list[type[errors.CloudqError]]:
    return [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, errors.CloudqError)]


def doc(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_top_level_holds_nothing_unexpected() -> None:
    """What git tracks at the top level is the fixed layout and no more."""
    present = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    if not (ROOT / ".git").exists():
        present &= TOP_LEVEL | {"PKG-INFO"}  # an archive may lie among other things
    assert set() == present - TOP_LEVEL - {"PKG-INFO"}


def test_no_machine_paths() -> None:
    """No file names a folder of the machine that it was written on."""
    assert [] == found_in_texts(MACHINE_PATH)


def test_no_package_index_addresses() -> None:
    """No file names a package index: pip's own settings decide."""
    assert [] == found_in_texts(REGISTRY)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "see /root" + "/x"),
        (MACHINE_PATH, '"/work' + '/main"'),
        (REGISTRY, "https://pypi" + ".org/simple"),
    ],
)
def test_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    """The patterns of the two tests above match what they are to find."""
    assert pattern.search(text)


def test_no_pickle() -> None:
    """Nothing in cloudq imports pickle or one of its kind."""
    banned = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle"}
    imported = {
        (str(path.relative_to(ROOT)), name)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_names(node)
    }
    assert [] == [(path, name) for path, name in imported if name in banned]
    assert "msgspec" in {name for _, name in imported}


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return []


def test_banned_word() -> None:
    """Half the field reads it as redeliver, half as dead-letter, so it appears nowhere in cloudq."""
    assert [] == found_in_modules(re.compile(r"(?<![a-z])nack", re.IGNORECASE))


def test_modules_are_small() -> None:
    """Each module can be read in one sitting."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    most = {path: MOST_LINES_OF.get(Path(path).parts[1], MOST_LINES) for path in lines}
    assert {} == {path: count for path, count in lines.items() if count > most[path]}


def test_exemptions_carry_their_reason() -> None:
    """Each noqa and each type: ignore names its rule and says why, behind it or in a comment on the line above."""
    exempt = re.compile(r"# (?:noqa|type: ignore)")
    named = re.compile(r"# noqa: [A-Z0-9, ]+(?: - \S|$)|# type: ignore\[[a-z, -]+\](?:  # \S|$)")
    reasoned = re.compile(r"# noqa: [A-Z0-9, ]+ - \S|# type: ignore\[[a-z, -]+\]  # \S")
    bare = []
    for path in modules():
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, (above, line) in enumerate(pairwise(["", *lines]), 1):
            explained = reasoned.search(line) or (named.search(line) and above.strip().startswith("# "))
            if exempt.search(line) and not explained:
                bare.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert [] == bare


def test_every_module_has_a_docstring() -> None:
    """Each module says what it is for."""
    without = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert [] == without


def test_version_is_in_the_changelog() -> None:
    """The changelog has the present version: a release by its heading, one in the making under Unreleased."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    release, dev, _ = cloudq.__version__.partition(".dev")
    headings = re.findall(r"^## \[([^]]+)\]", changelog, re.MULTILINE)
    if dev:
        assert headings[0] == "Unreleased"
        assert release not in headings
        assert f"next version is {release}" in changelog
    else:
        assert release in headings


def test_the_changelog_says_nothing_twice() -> None:
    """No two entries of a version begin alike, which is how a merge leaves an old wording beside the new one."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        begun = [re.sub(r"\W+", " ", entry)[:36] for entry in re.split(r"^- ", version, flags=re.MULTILINE)[1:]]
        assert [] == [entry for entry in begun if begun.count(entry) > 1]


def test_every_error_code_has_its_anchor() -> None:
    """`reference/errors.md` has one section for each code, under it, and none besides; each names its class."""
    sections = dict(re.findall(r"^### `([a-z-]+)` \{ #\1 \}\n\n`(\w+)`", doc("reference/errors.md"), re.MULTILINE))
    assert {kind.code: kind.__name__ for kind in error_classes()} == sections


def test_error_codes_are_unique() -> None:
    """A code belongs to one class."""
    codes = [kind.code for kind in error_classes()]
    assert sorted(set(codes)) == sorted(codes)


def test_error_tree_is_complete() -> None:
    """The tree at the top of `reference/errors.md` names every class."""
    tree = doc("reference/errors.md").partition("```text\n")[2].partition("```")[0]
    assert {kind.__name__ for kind in error_classes()} == set(re.findall(r"[A-Z]\w+", tree))


def test_the_errors_page_says_where_to_import_from() -> None:
    """All from one module; those that it names as attributes of the package are those that are."""
    paragraph = doc("reference/errors.md").partition("\nTo import them: ")[2].partition("\n\n")[0]
    assert "`cloudq.errors` has all" in paragraph
    named = set(re.findall(r"`(\w+)`", paragraph.partition("as well:")[2]))
    assert {kind.__name__ for kind in error_classes()} & set(cloudq.__all__) == named


def test_api_reference_is_complete() -> None:
    """`reference/api.md` has every public name."""
    shown = set(re.findall(r"^(?:<!-- api: |\| `)cloudq\.(\w+)", doc("reference/api.md"), re.MULTILINE))
    assert set() == set(cloudq.__all__) - shown - {"__version__"}


def test_testing_reference_is_complete() -> None:
    """`reference/testing.md` has every public name of `cloudq.testing`."""
    shown = set(re.findall(r"^<!-- api: cloudq\.testing\.(\w+)", doc("reference/testing.md"), re.MULTILINE))
    assert set() == set(cloudq.testing.__all__) - shown


def test_semantics_are_all_there() -> None:
    """`explanation/semantics.md` has the points 1 to 24 under their anchors, and says of each how far it is."""
    page = doc("explanation/semantics.md")
    points = re.findall(r"^### (\d+)\. [^\n]* \{ #semantics-(\d+) \}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    assert [(str(n), str(n)) for n in range(1, 25)] == [(number, anchor) for number, anchor, _ in points]
    assert [] == [number for number, _, text in points if not re.search(r"^\*\*(Built|Comes with)", text, re.MULTILINE)]


def test_tests_named_by_the_semantics_exist() -> None:
    """Each test that `explanation/semantics.md` names is there, and each point that is built names one."""
    sections = re.split(r"^### ", doc("explanation/semantics.md"), flags=re.MULTILINE)[1:]
    named = [(section, re.findall(r"^- `([\w/.]+)::(\w+)`$", section, re.MULTILINE)) for section in sections]
    assert [] == [section.splitlines()[0] for section, tests in named if "\n**Built" in section and not tests]
    missing = [
        f"{path}::{name}"
        for _, tests in named
        for path, name in tests
        if not (ROOT / path).is_file() or f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert [] == missing


def test_cited_semantics_exist() -> None:
    """Comments cite points that there are."""
    cited = {
        int(number) for path in modules() for number in re.findall(r"semantics (\d+)", path.read_text(encoding="utf-8"))
    }
    assert cited
    assert cited <= set(range(1, 25))


def test_decisions_are_listed() -> None:
    """`decisions/index.md` links every record."""
    records = {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}
    assert records == set(re.findall(r"\((0[\w-]+\.md)\)", doc("decisions/index.md")))


def test_the_architecture_page_has_the_layers_that_are_held() -> None:
    """In the order in which they may import one another: those of the first contract in pyproject.toml."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    held = [set(layer.split(" | ")) for layer in reversed(contract["layers"])]
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    block = page.partition("## The rooms")[2].partition("```text")[2].partition("```")[0]
    assert held == [{name.strip() for name in layer.split(",")} for layer in block.split("<")]


def test_lower_bounds_only_where_they_are_needed() -> None:
    """Requirements of the library name no upper bound: a library that caps keeps its users from upgrading."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [] == [requirement for requirement in project["dependencies"] if "<" in requirement or "==" in requirement]


def test_readme_links_exist() -> None:
    """Each relative link of the README names a file."""
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [] == [link for link in links if not (ROOT / link).is_file()]


def test_every_page_is_in_the_navigation_and_in_the_index() -> None:
    """The site's navigation has each page; the index links each how-to and each explanation."""
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    navigation = set(re.findall(r"^ *- ([\w./-]+\.md)$", doc("mkdocs/mkdocs.yml"), re.MULTILINE))
    assert pages == navigation
    linked = set(re.findall(r"\]\(([\w./-]+\.md)", doc("index.md")))
    guides = {page for page in pages if page.startswith(("how-to/", "explanation/"))}
    assert set() == guides - linked


def test_make_targets_are_explained() -> None:
    """`make help` lists every target that there is to call."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = makefile.partition(".PHONY:")[2].partition("\n")[0].split()
    expected = {
        "demo",
        "demo-servicebus",
        "demo-cloudtasks",
        "test",
        "quick",
        "chaos",
        "check",
        "payloads",
        "test-terraform",
        "terraform-tools",
        "compatibility",
        "compatibility-tools",
        "django-tools",
        "audit",
        "sbom",
        "bench",
        "bench-diff",
        "bench-stores",
        "bench-outbox",
        "cov",
        "api",
        "docs",
    }
    assert {*expected, "localstack", "help", "clean"} == set(phony)
    assert set(phony) == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))


def test_ci_runs_the_whole_suite() -> None:
    """`.ci/run` can be executed, reads nothing from stdin, and its exit code is that of `make test`."""
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test </dev/null"
