"""The house keeps its shape: imports point one way, siblings leave each other alone, files stay short."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import pixelflow
from pixelflow.core import kinds

PACKAGE = Path(pixelflow.__file__).parent
GIVEN_OUT = {"skeleton", "exported"}
"""Folders of files that are written into others' packages."""
FILES = sorted(file for file in PACKAGE.rglob("*.py") if not GIVEN_OUT & set(file.parts))

LAYERS = (
    {"system"},
    {"core"},
    {room.rpartition(".")[2] for room in kinds.rooms()},
    {"runs"},
    {"generation"},
    {"official", "evaluation"},
    {"hub"},
    {"training"},
    {"costs"},
    {"sweep", "contracts"},
    {"ui"},
    {"cli"},
)
"""Rooms of the package, lowest first. A room imports only from lower layers, so that nothing goes in circles."""

SWEEP_LAYERS = ("executors", "points", "work", "report")
"""Rooms within `pixelflow.sweep`, lowest first."""

LONGEST_FILE = 350
LIGHT = (
    *(["core", "kinds"], ["core", "version"]),
    *(["system", "errors"], ["system", "printing"], ["system", "tables"], ["system", "terminal"]),
)
HEAVY = {"torch", "torchvision", "torchdiffeq", "numpy", "scipy", "sklearn", "cleanfid", "transformers", "xformers",
         "open_clip", "PIL", "rich", "einops", "safetensors", "pluggy", "yaml", "pydantic"}  # fmt: skip


def room(file: Path) -> str:
    """The first part of a file's path inside the package: ``core``, ``run``, ..."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def imports(file: Path) -> list[tuple[int, str]]:
    """(line, module) of every import in a file, also inside functions and under TYPE_CHECKING."""
    return [found for node in ast.walk(parsed(file)) for found in imported(node)]


def imported(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The same of one statement."""
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, f"line {node.lineno} is a relative import of {node.module}"
        yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def own_rooms(file: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import from pixelflow itself."""
    for line, module in imports(file):
        parts = module.split(".")
        if parts[0] == "pixelflow" and len(parts) > 1:
            known = (PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()
            yield line, parts[1] if known else "__init__"


def layer(name: str) -> int:
    return next(index for index, rooms in enumerate(LAYERS) if name in rooms)


def test_every_room_has_its_layer():
    known = set().union(*LAYERS) | {"__init__", "__main__"}
    assert {room(file) for file in FILES} <= known, "put the new room into LAYERS above"


def test_imports_point_one_way():
    wrong = [
        f"{file}:{line} {room(file)} must not import {other}"
        for file in FILES
        if room(file) not in ("__init__", "__main__")
        for line, other in own_rooms(file)
        if other not in (room(file), "__init__") and layer(other) >= layer(room(file))
    ]
    assert wrong == []


def module(file: Path) -> str:
    """``pixelflow.core.spec``; a package has the name of its folder."""
    parts = ("pixelflow", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in FILES}


@cache
def own_modules(name: str) -> set[str]:
    """The modules of pixelflow that one of them imports anywhere: at the top, in functions, for types."""
    named = {imported for _, imported in imports(MODULES[name])}
    return {whole if whole in MODULES else whole.rpartition(".")[0] for whole in named} & MODULES.keys() - {name}


@pytest.mark.parametrize("home", sorted({room(file) for file in FILES}))
def test_no_circles_within_a_room(home):
    modules = [name for name, file in MODULES.items() if room(file) == home]
    try:
        graphlib.TopologicalSorter({name: own_modules(name).intersection(modules) for name in modules}).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' <- '.join(error.args[1])}")


def test_imports_within_the_sweep_point_one_way():
    wrong = [
        f"{name} must not import {other}"
        for name in MODULES
        if name.count(".") >= 2 and ".sweep." in name
        for other in own_modules(name)
        if other.startswith("pixelflow.sweep.")
        and SWEEP_LAYERS.index(other.split(".")[2]) > SWEEP_LAYERS.index(name.split(".")[2])
    ]
    assert wrong == []


def test_nothing_imports_the_top_of_the_package():
    """It opens runs and trains, so that whoever imports it depends on all rooms."""
    assert [name for name in MODULES if name.count(".") and "pixelflow" in own_modules(name)] == []


def test_files_stay_short():
    """One that grows too long is split by what its parts are about."""
    lines = {str(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {file: count for file, count in lines.items() if count > LONGEST_FILE} == {}


def test_commands_import_nothing_heavy_at_the_top():
    """What is heavy is imported inside the function."""
    heavy = [
        f"{file}:{line} {module}"
        for file in FILES
        if room(file) == "cli"
        for statement in parsed(file).body
        for line, module in imported(statement)
        if not is_light(module.split("."))
    ]
    assert heavy == []


def is_light(parts: list[str]) -> bool:
    if parts[0] == "pixelflow":
        return parts[1] == "cli" or parts[1:3] in LIGHT or len(parts) == 2
    return parts[0] not in HEAVY


def test_typer_is_used_by_its_public_name_alone():
    modules = {whole for file in FILES if room(file) == "cli" for _, whole in imports(file)}
    assert {whole for whole in modules if whole.split(".")[0] in ("typer", "click")} == {"typer"}


READS = {
    "open",
    "read_text",
    "read_bytes",
    "load_file",
    "safe_open",
    "ZipFile",
    "FileIO",
    "memmap",
    "fromfile",
    "loadtxt",
}
"""Calls that open a file by its name, and wait for ever where it is a pipe."""

READERS = {
    "system/files.py": "looks first what the file is",
    "system/streams.py": "likewise, and reads pipes on purpose",
    "system/decoding.py": "pictures, likewise",
    "system/terminal.py": "the null device",
    "runs/tensor_files.py": "tensors whose file was opened for its hash before",
    "runs/weight_file.py": "opened before",
    "hub/code.py": "own source",
    "hub/folder.py": "own source",
    "official/archive.py": "a zip in what is open",
    "conditioners/token_cache.py": "opened before",
    "generation/npz_export.py": "a plain file",
    "data/npz.py": "a plain file",
    "data/caption_tables.py": "a plain file",
    "data/tar_scan.py": "a shard whose state was asked for before",
    "data/digits.py": "in a package",
    "core/plugin_source.py": "source that was imported",
    "cli/previews.py": "a picture that the command has just written",
    "cli/doctor.py": "own source",
    "cli/init.py": "own source",
    "cli/new_plugin.py": "own source, and a plain file",
    "cli/added_component.py": "a plain file",
    "sweep/points/keys.py": "own source",
    "sweep/report/report.py": "own source",
    "sweep/work/claims.py": "the system's, and what it makes itself",
    "ui/curves.py": "what it made itself",
}
"""Why each file may open others by itself; all else reads by `system.files`, which waits for nothing."""


def test_files_are_read_where_it_is_seen_first_what_they_are():
    found = set()
    for file in FILES:
        for node in ast.walk(parsed(file)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Name, ast.Attribute)):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name not in READS:
                continue
            called = ast.unparse(node.func)
            owner = called.rpartition(".")[0]
            is_own = owner in ("files", "cls", "shelf") or owner.endswith("Run") or called == "read_bytes"
            if not is_own:
                found.add(file.relative_to(PACKAGE).as_posix())
    assert found == READERS.keys()


def test_importing_the_package_is_light():
    rooms = "('pixelflow.samplers', 'pixelflow.sweep')"
    code = f"import sys, pixelflow; print('torch' in sys.modules, any(m.startswith({rooms}) for m in sys.modules))"
    more = "import pixelflow.generation.run; print('torch._dynamo' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", f"{code}; {more}"], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False", "False"], "drawing takes torch, but not its compiler"


def test_no_two_files_of_tests_hide_each_other():
    """Pytest imports those of folders that are no packages by their names alone."""
    files = [file for file in Path(__file__).parent.rglob("test_*.py") if not (file.parent / "__init__.py").exists()]
    assert Counter(file.name for file in files).most_common(1)[0][1] == 1


def test_every_benchmark_can_be_started_without_arguments():
    """As `make bench` does."""
    for file in (PACKAGE.parent / "benchmarks").glob("*.py"):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "add_argument":
                name, options = ast.unparse(node.args[0]), {keyword.arg for keyword in node.keywords}
                assert "--" in name or "nargs" in options, f"{file.name}: {name}"
                assert "required" not in options, f"{file.name}: {name}"


def test_no_module_is_named_for_leftovers():
    assert not {"utils", "helpers", "common", "misc"} & {file.stem for file in FILES}


def test_every_public_class_has_one_owner():
    """Two things of one name are told apart by whoever remembers where they are."""
    owners: dict[str, list[str]] = {}
    package = Path(pixelflow.__file__).parent
    for file in package.rglob("*.py"):
        if not GIVEN_OUT & set(file.parts):
            for node in parsed(file).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    owners.setdefault(node.name, []).append(str(file.relative_to(package)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}
