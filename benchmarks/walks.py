"""How many functions of pixelflow a trip through it passes: a training step, and `pixelflow sample`.

    python benchmarks/walks.py            # the counts
    python benchmarks/walks.py step       # every function of a trip, indented by how deep it was first called
    python benchmarks/walks.py sample

The real commands run, on the shipped digits with a small network, under `sys.setprofile`. A function counts once,
however often it is called, and only if it lies in the package; lambdas and generator expressions count as the function
that holds them, bodies of modules and classes not at all.

step      one `Trainer.step`, the third of a training: a batch that was read to weights that are updated
sample    the whole of ``pixelflow sample`` once everything is imported: arguments, spec, weights, images, files
started   the same in a new process: also what imports call, registers every component and builds the schema of specs
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pixelflow
from pixelflow.cli.app import main

PACKAGE = str(Path(pixelflow.__file__).parent) + "/"
IS_FUNCTION = 0x2
"""`inspect.CO_NEWLOCALS`; bodies of classes and modules lack it, or are named as below."""
SPEC = (
    "backbone.depth=2", "training.steps=3", "training.batch_size=16", "training.workers=0", "training.sample_every=null"
)  # fmt: skip


@dataclass
class Walk:
    """The functions of a trip, in the order in which they were first called."""

    passed: dict[CodeType, int] = field(default_factory=dict)
    """Function -> how many others of the package it was first called through."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and is_ours(frame.f_code):
            self.passed.setdefault(frame.f_code, self._depth(frame))

    def _depth(self, frame: FrameType) -> int:
        depth, caller = 0, frame.f_back
        while caller is not None:
            depth += is_ours(caller.f_code)
            caller = caller.f_back
        return depth

    def __str__(self) -> str:
        files = {code.co_filename for code in self.passed}
        deepest = max(self.passed.values(), default=0) - min(self.passed.values(), default=0) + 1
        return f"{len(self.passed)} functions in {len(files)} files, at most {deepest} deep"

    def lines(self) -> Iterator[str]:
        """A line for each function."""
        first = min(self.passed.values(), default=0)
        for code, depth in self.passed.items():
            place = f"{code.co_filename.removeprefix(PACKAGE)}:{code.co_firstlineno}"
            yield f"{'  ' * (depth - first)}{code.co_qualname}  ({place})"


def is_ours(code: CodeType) -> bool:
    """Whether it is a function of the package with a name of its own."""
    return code.co_filename.startswith(PACKAGE) and bool(code.co_flags & IS_FUNCTION) and code.co_name[0] != "<"


@contextmanager
def watched(walk: Walk) -> Iterator[None]:
    """Within, calls are noted."""
    sys.setprofile(walk)
    try:
        yield
    finally:
        sys.setprofile(None)


def command(*words: str) -> None:
    """A command line, silently; raises what is not a success."""
    with redirect_stdout(sys.stderr):
        try:
            main(words)
        except SystemExit as stopped:
            if stopped.code:
                raise


def of_step(folder: Path) -> Walk:
    """Train three steps in ``runs/digits`` of the folder; the walk of the third."""
    from pixelflow.training.loop import Trainer

    walk, step = Walk(), Trainer.step

    def noted(trainer: Trainer, *given: Any) -> None:
        if trainer.state.step != 2:
            return step(trainer, *given)
        with watched(walk):
            return step(trainer, *given)

    Trainer.step = noted  # type: ignore[method-assign]
    try:
        command("train", "digits", *SPEC, "--out", str(folder / "runs"), "--device", "cpu")
    finally:
        Trainer.step = step  # type: ignore[method-assign]
    return walk


def of_sample(folder: Path) -> Walk:
    """Draw four images from the run."""
    walk = Walk()
    out = str(Path(tempfile.mkdtemp(dir=folder)) / "images")
    with watched(walk):
        command("sample", str(folder / "runs" / "digits"), "--count", "4", "--steps", "2", "--out", out)
    return walk


def walks(folder: Path) -> dict[str, Walk]:
    """Name of a trip -> its functions."""
    step = of_step(folder)
    of_sample(folder)  # imports what is left
    return {"step": step, "sample": of_sample(folder)}


def started(folder: Path) -> str:
    """What `of_sample` counts in a process that has not imported anything."""
    import subprocess

    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import walks, pathlib; "
    code += f"print(walks.of_sample(pathlib.Path({str(folder)!r})))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trip", nargs="?", choices=("step", "sample"), help="list the functions of this one")
    trip = parser.parse_args().trip
    with tempfile.TemporaryDirectory() as place:
        found = walks(Path(place))
        if trip is not None:
            print(*found[trip].lines(), sep="\n")
        else:
            print(*(f"{name:8} {walk}" for name, walk in found.items()), sep="\n")
            print(f"{'started':8} {started(Path(place))}")
