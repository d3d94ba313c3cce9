"""What the page on the architecture names is there, and its layers are those that the tests hold imports to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pixelflow
from tests.test_structure import LAYERS, SWEEP_LAYERS

PACKAGE = Path(pixelflow.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:: ([\w.]+))?`", TEXT)) | {("training/loop.py", "Trainer.step")})


def defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Functions, classes, methods and constants of a module, as ``Class.method``."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from defined(node.body, f"{prefix}{node.name}.")
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def test_there_is_something_to_check():
    assert len(NAMED) > 50
    assert sum(bool(name) for _, name in NAMED) > 40


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part)
def test_what_is_named_is_there(file: str, name: str):
    path = PACKAGE / file
    assert path.is_file(), f"{PAGE.name} names pixelflow/{file}, which is not there"
    if name:
        assert name in set(defined(ast.parse(path.read_text(encoding="utf-8")).body)), f"{file} has no {name}"


def test_the_layers_are_those_of_the_imports():
    (drawn,) = re.findall(r"^```text\n(.*?)^```$", TEXT, re.M | re.S)
    assert [set(line.split()) for line in drawn.splitlines()] == [*map(set, LAYERS)]
    assert f"Within `sweep` it is the same: {', '.join(f'`{name}`' for name in SWEEP_LAYERS)}," in TEXT


def test_the_loss_is_one_hop_from_the_loop():
    """The step calls the objective, whose `forward` is the loss."""
    loop = ast.parse((PACKAGE / "training/loop.py").read_text(encoding="utf-8"))
    bodies = {node.name: ast.unparse(node) for node in ast.walk(loop) if isinstance(node, ast.FunctionDef)}
    assert "state.wrapped(" in bodies["step"]
