"""Which App a command works with."""

from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace

import pytest

from cloudq.discovery import find_app, load_app, load_module
from cloudq.errors import CloudqError, ConfigurationError, TaskDefinitionError
from tests.ids import shown

ONE = 'import cloudq\napp = cloudq.App("memory://")\n@app.task\ndef t(): ...\n'
numbers = itertools.count()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, empty; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOUDQ_APP", raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(folder, source: str) -> str:
    """The name of a new module of that source."""
    name = f"discovered_{next(numbers)}"
    (folder / f"{name}.py").write_text(source)
    return name


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_given_app_comes_before_the_environments_before_the_projects_before_the_usual_files(folder):
    """`--app` > `CLOUDQ_APP` > `[tool.cloudq] app` > `app.py` > `tasks.py`."""
    (folder / "tasks.py").write_text("")
    assert "tasks" == find_app(None, {}).spec
    (folder / "app.py").write_text("")
    assert "app" == find_app(None, {}).spec
    (folder / "pyproject.toml").write_text('[tool.cloudq]\napp = "shop.tasks"\n')
    assert "shop.tasks" == find_app(None, {}).spec
    assert "env:app" == find_app(None, {"CLOUDQ_APP": "env:app"}).spec
    assert "given" == find_app("given", {"CLOUDQ_APP": "env:app"}).spec


def test_a_django_project_comes_last(folder):
    """By the variable that names its settings, else by its `manage.py`; whatever else names an app counts first."""
    spec = "cloudq.integrations.django.worker_app"
    (folder / "manage.py").write_text("print('not one of Django')")
    with pytest.raises(ConfigurationError, match=r"DJANGO_SETTINGS_MODULE and manage\.py"):
        find_app(None, {})
    assert (spec, folder, "DJANGO_SETTINGS_MODULE", None) == find_app(None, {"DJANGO_SETTINGS_MODULE": "shop.settings"})
    manage = folder / "manage.py"
    manage.write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")')
    assert (spec, folder, str(manage), manage) == find_app(None, {})
    (folder / "tasks.py").write_text("")
    assert "tasks" == find_app(None, {"DJANGO_SETTINGS_MODULE": "shop.settings"}).spec


def test_a_package_is_a_usual_place_too(folder):
    """`tasks/__init__.py` is as good as `tasks.py`."""
    (folder / "tasks").mkdir()
    (folder / "tasks" / "__init__.py").write_text("")
    assert "tasks" == find_app(None, {}).spec


def test_within_a_package_the_projects_app_is_found_with_its_folder(folder, monkeypatch):
    """`cd shop; cloudq worker` works for `shop.tasks`, imported from the project's folder, not for `tasks`."""
    package = f"package_{next(numbers)}"
    (folder / "pyproject.toml").write_text(f'[tool.cloudq]\napp = "{package}.tasks"\n')
    (folder / package).mkdir()
    (folder / package / "tasks.py").write_text(ONE)
    monkeypatch.chdir(folder / package)
    found = find_app(None, {})
    assert (f"{package}.tasks", folder) == (found.spec, found.folder)
    assert str(folder / "pyproject.toml") in found.how
    assert [f"{package}.tasks.t"] == list(load_app(found).tasks)
    assert str(folder) == sys.path[0]


def test_within_a_package_of_a_project_the_usual_files_are_its_modules(folder, monkeypatch):
    """Their tasks have the names that senders outside of the package give them."""
    package = f"package_{next(numbers)}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    (folder / package / "tasks.py").write_text(ONE)
    monkeypatch.chdir(folder / package)
    assert ("tasks", folder / package) == find_app(None, {})[:2], "no project is there: the folder is what is meant"
    (folder / "pyproject.toml").write_text("")
    assert (f"{package}.tasks", folder) == find_app(None, {})[:2]
    assert [f"{package}.tasks.t"] == list(load_app(None).tasks)


def test_another_project_within_one_is_its_own(folder, monkeypatch):
    """The nearest project's file ends the way up, also where it names no app."""
    (folder / "pyproject.toml").write_text('[tool.cloudq]\napp = "shop.tasks"\n')
    (folder / "blog").mkdir()
    (folder / "blog" / "pyproject.toml").write_text('[project]\nname = "blog"\n')
    (folder / "blog" / "app.py").write_text("")
    monkeypatch.chdir(folder / "blog")
    assert ("app", folder / "blog") == find_app(None, {})[:2]


def test_each_place_is_told(folder):
    """For the worker's log: what named the app."""
    (folder / "tasks.py").write_text("")
    assert str(folder / "tasks.py") == find_app(None, {}).how
    assert "CLOUDQ_APP" == find_app(None, {"CLOUDQ_APP": "a"}).how
    assert "--app" == find_app("a", {}).how


def test_no_app_says_what_was_tried(folder):
    """Every place is named, and the folder."""
    with pytest.raises(ConfigurationError) as caught:
        find_app(None, {})
    for tried in (str(folder), "--app", "CLOUDQ_APP", "[tool.cloudq] app", "app.py", "tasks.py"):
        assert tried in str(caught.value)


@pytest.mark.parametrize("content", ["[tool.cloudq\n", "[tool.cloudq]\napp = 5\n", b"\xff"], ids=shown)
def test_a_project_file_that_cannot_be_read_is_an_error(folder, content):
    """It isn't passed over: it may have named the app."""
    (folder / "pyproject.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml"):
        find_app(None, {})


@pytest.mark.parametrize("content", ["", "[tool]\n", "[project]\nname='x'\n", "[tool]\ncloudq = 5\n"])
def test_a_project_file_without_an_app_is_passed_over(folder, content):
    """Other tools' settings don't matter."""
    (folder / "pyproject.toml").write_text(content)
    (folder / "tasks.py").write_text("")
    assert "tasks" == find_app(None, {}).spec


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_modules_one_app_is_found(folder):
    """Whatever it is called, from the current folder, which is put on the import path first."""
    name = module(folder, ONE.replace("app", "shop"))
    assert [f"{name}.t"] == list(load_app(name).tasks)
    assert str(folder) == sys.path[0]


@pytest.mark.parametrize("spelling", ["{}", "{}:app", "{}.py", "./{}.py"])
def test_a_module_may_be_spelt_as_its_file(folder, spelling):
    """As a shell completes it."""
    name = module(folder, ONE)
    assert [f"{name}.t"] == list(load_app(spelling.format(name)).tasks)


def test_a_module_in_a_package_is_found_by_path_and_by_name(folder):
    """`shop/tasks.py` is `shop.tasks`."""
    package = f"package_{next(numbers)}"
    (folder / package).mkdir()
    (folder / package / "tasks.py").write_text(ONE)
    assert [f"{package}.tasks.t"] == list(load_app(f"{package}/tasks.py").tasks)
    assert load_app(f"{package}.tasks") is load_app(f"{package}/tasks.py:app")


def test_one_app_under_two_names_is_one_app(folder):
    """A second name for it is no second App."""
    name = module(folder, ONE + "same = app\n")
    assert 1 == len(load_app(name).tasks)


def test_an_attribute_may_be_a_path(folder):
    """`module:shop.app` looks into an object."""
    name = module(folder, ONE + "class shop:\n    inner = app\n")
    assert 1 == len(load_app(f"{name}:shop.inner").tasks)


def test_several_apps_are_listed(folder):
    """Which one is meant can't be known."""
    name = module(folder, ONE + 'other = cloudq.App("memory://")\n')
    with pytest.raises(ConfigurationError) as caught:
        load_app(name)
    assert f"{name}:app, {name}:other" in str(caught.value)
    assert 1 == len(load_app(f"{name}:app").tasks)


def test_a_module_without_an_app_means_the_default_one(folder):
    """`@cloudq.task` declares on it."""
    from cloudq.default_app import default

    name = module(folder, "import cloudq\n@cloudq.task\ndef t(): ...\n")
    assert default is load_app(name)
    assert f"{name}.t" in default.tasks


def test_the_apps_own_imports_are_loaded(folder):
    """`App(imports=[...])` names modules that declare its tasks."""
    shared = module(folder, 'import cloudq\napp = cloudq.App("memory://")\n')
    more = module(folder, f"from {shared} import app\n@app.task\ndef more(): ...\n")
    name = module(folder, f'from {shared} import app\napp.configure(imports=["{more}"])\n')
    assert [f"{more}.more"] == list(load_app(name).tasks)


REFUSED = {
    "no module of that name": (None, "nowhere_at_all", "there is no module 'nowhere_at_all'"),
    "no package of that name": (None, "nowhere_at_all.tasks", "there is no module 'nowhere_at_all.tasks'"),
    "no module": (None, ":app", "names no module"),
    "no module's name": (None, "a b", "names no module"),
    "relative": (None, "..shop", "names no module"),
    "no attribute": (ONE, "{}:nobody", "has nothing of that name"),
    "no App": (ONE, "{}:t", "it is a Task"),
    "no task": ('import cloudq\napp = cloudq.App("memory://")\n', "{}", "declares no task"),
    "missing dependency": ("import not_installed_here\n", "{}", "can't be imported: ModuleNotFoundError"),
    "syntax": ("def\n", "{}", "can't be imported: SyntaxError"),
    "its own error": ("1/0\n", "{}", "can't be imported: ZeroDivisionError"),
    "its imports": (
        'import cloudq\napp = cloudq.App("memory://", imports=["nowhere_at_all"])\n',
        "{}",
        "imports names",
    ),
    "its imports' error": (
        'import cloudq, sys, types\napp = cloudq.App("memory://", imports=["this_one_raises"])\n',
        "{}",
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize(("source", "spec", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_loaded_says_why(folder, source, spec, why):
    """A missing module, a missing dependency of it, and its own error are told apart; no traceback is needed."""
    (folder / "this_one_raises.py").write_text("1/0\n")
    name = "" if source is None else module(folder, source)
    with pytest.raises(ConfigurationError) as caught:
        load_app(spec.format(name))
    assert why in str(caught.value)


def test_a_wrong_declaration_keeps_its_own_error(folder):
    """It says what is wrong with the task, at import or when its types are resolved."""
    early = module(folder, ONE + "@app.task\ndef bad(*args): ...\n")
    late = module(folder, ONE + "@app.task\ndef bad(x: complex): ...\n")
    for name in (early, late):
        with pytest.raises(CloudqError) as caught:
            load_app(name)
        assert TaskDefinitionError is type(caught.value)


HINTS = {
    "an App beside default tasks": (
        "import cloudq\napp = cloudq.App('memory://')\n@cloudq.task\ndef hinted(): ...\n",
        "{}",
        "its App has none, and {}.hinted belong to the default app",
        "the App's own @app.task",
    ),
    "the other App": (ONE + "bare = cloudq.App('memory://')\n", "{}:bare", "declares no task", "--app {}:app"),
    "no App of that name": (ONE, "{}:nobody", "nothing of that name", "its Apps: {}:app"),
    "an int": (ONE + "x = 5\n", "{}:x", "it is an int", "its Apps: {}:app"),
    "no App at all": ("x = 5\n", "{}:x", "it is an int", "--app {} is the default one"),
    "a missing package": (
        "import not_installed_here\n",
        "{}",
        "ModuleNotFoundError",
        "install what provides 'not_inst",
    ),
    "its own error": ("1/0\n", "{}", "{}.py:1)", "--debug shows the whole traceback"),
    "django": (
        "class AppRegistryNotReady(Exception): ...\nAppRegistryNotReady.__module__ = 'django.core.exceptions'\n"
        'raise AppRegistryNotReady("Apps aren\'t loaded yet.")\n',
        "{}",
        "AppRegistryNotReady: Apps aren't loaded yet.",
        "django.setup()",
    ),
}


@pytest.mark.parametrize(("source", "spec", "why", "hint"), HINTS.values(), ids=HINTS)
def test_what_cannot_be_loaded_says_what_to_do(folder, source, spec, why, hint):
    """By what the module has: the Apps in it, the tasks of another App, and for an error of its own where to look."""
    name = module(folder, source)
    with pytest.raises(ConfigurationError) as caught:
        load_app(spec.format(name))
    assert why.format(name) in caught.value.message
    assert hint.format(name) in caught.value.hint


def test_modules_that_import_each_other_are_told_so(folder):
    """Python's own words for it are about a module that is partially initialized."""
    (folder / "circle_b.py").write_text("from circle_a import x\n")
    (folder / "circle_a.py").write_text("from circle_b import y\nx = 1\n")
    with pytest.raises(ConfigurationError, match="circular import") as caught:
        load_app("circle_a")
    assert "within a function" in caught.value.hint
    assert "circle_b.py:1" in caught.value.message


def test_a_package_names_its_modules_that_declare_tasks(folder):
    """Importing a package imports none of its modules."""
    shop = folder / "hinting_shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("")
    (shop / "tasks.py").write_text("import cloudq\n")
    (shop / "views.py").write_text("")
    with pytest.raises(ConfigurationError, match="it is a package") as caught:
        load_app("hinting_shop")
    assert "--app hinting_shop.tasks, or App(imports=[...]) with: hinting_shop.tasks" == caught.value.hint


SAFE = SimpleNamespace(**{n: getattr(sys.flags, n) for n in dir(sys.flags) if n[0] != "_"} | {"safe_path": True})


# ── the import path ──────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_without_the_module_shadows_nothing(folder, tmp_path_factory, monkeypatch):
    """Where an installed app is named, a file that lies in the current folder takes the place of no other module."""
    installed = tmp_path_factory.mktemp("site-packages")
    name = module(installed, "import colorsys\n" + ONE + "assert hasattr(colorsys, 'rgb_to_hsv')\nimport helper_here\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    (folder / "colorsys.py").write_text("1 / 0\n")
    (folder / "helper_here.py").write_text("")
    sys.modules.pop("colorsys", None)
    assert 1 == len(load_app(name).tasks)
    assert (str(installed), str(folder)) == tuple(sys.path[-2:])


@pytest.mark.parametrize("way", ["flag", "argument"])
def test_a_safe_path_is_left_alone(folder, monkeypatch, way):
    """With `PYTHONSAFEPATH` or `-P` no folder is put on it, and the error says so; a path that has it is as it is."""
    name = module(folder, ONE)
    if way == "flag":
        monkeypatch.setattr("cloudq.discovery.sys.flags", SAFE, raising=False)
    given = {} if way == "flag" else {"safe_path": True}
    before = list(sys.path)
    with pytest.raises(ConfigurationError, match="there is no module") as caught:
        load_app(name, **given)
    assert before == sys.path
    assert "PYTHONSAFEPATH keeps folders off the import path" in caught.value.hint
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    assert 1 == len(load_app(name, **given).tasks)


def test_an_argument_comes_before_the_flag(folder, monkeypatch):
    """A child, which is started with `-P`, does as its parent was started."""
    monkeypatch.setattr("cloudq.discovery.sys.flags", SAFE, raising=False)
    assert 1 == len(load_app(module(folder, ONE), safe_path=False).tasks)


def test_a_module_is_imported_as_it_is(folder):
    """It needs no App: what a command looks for in it may be something else."""
    name = module(folder, "checks = 1\n")
    assert 1 == load_module(f"{name}:checks", folder).checks
    assert str(folder) == sys.path[0]


def test_a_module_that_is_not_there_is_an_error(folder):
    """As an App's."""
    with pytest.raises(ConfigurationError, match="there is no module 'nowhere'"):
        load_module("nowhere:checks", folder)
