"""Specs that are wrong, plugins that are broken, numbers that are not finite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.torture.trials import Row, command, forked, newest, refused_in_one_line, run, spec, verdict_of

OVERRIDES = """
image.size=0 | image.size=-16 | image.size=17 | image.size=1e9 | image.size=sixteen | image.size=[16] | image.size=null
image.channels=2 | data=nothing | data.root= | data.root=2024 | data.labels=maybe | data.resize=0 | data.type=npz
cascade.stages=0 | cascade.stages=99 | cascade.kickoff=3 | cascade.patch=0 | cascade.patch=[4] | cascade.patch=[4,4,4]
cascade.down=up | cascade.up=lanczos9 | cascade.patch=5 | cascade.kickoff=1e5 | backbone=vit | backbone.depth=-1
backbone.depth=1.5 | backbone.heads=0 | backbone.head_dim=7 | backbone.head_dim=nan | backbone.width=3 | backbone={}
conditioners=[class] | conditioners=[class_label,clas_label] | conditioners=7 | objective.times=never
objective.stage_mix=[1] | objective.stage_mix=[0,0,0] | objective.condition_dropout=2 | objective.prediction=
training.steps=0 | training.steps=true | training.steps=1e400 | training.batch_size=0 | training.learning_rate=inf
training.learning_rate=nan | training.learning_rate=-1 | training.lr=1e-3 | training.precision=float8 | training.ema=2
training.workers=-1 | training.warmup=x | training.keep=0 | sampling.steps=0 | sampling.steps=[1,2,3,4,5,6,7]
sampling.sampler=eulr | sampling.sampler={type: dopri5, rtol: 0} | sampling.guidance.scale=big | sampling.batch_size=0
evaluation.metrics=fid | evaluation.images=0 | evaluation.metrics=[7] | name= | name=../up | name=a/b | seed=-1 | seed=x
nothing=1 | training.nothing=1 | .=1 | =1 | training | training..steps=1
"""
"""Each one wrong by itself."""

TEXTS = [
    "",
    "null",
    "[]",
    "7",
    "a: b: c",
    "\tname: x",
    "name: tiny\nname: other",
    "!!python/object/apply:os.system [touch executed]",
    "a: &a [*a]",
    "&a [" + "*b," * 10 + "]",
    "[" * 20_000,
    "{" * 20_000,
    "name: \x00",
    "\xff\xfe",
    "\n".join(f"key{index}: 1" for index in range(90_000)),
    "a: &x [1,1]\n" + "\n".join(f"b{index}: [*x,*x]" for index in range(2000)),
    "name: tiny\ntraining: {learning_rate: 1e-4, learning_rate: 2e-4}",
    "name: " + "x" * 10_000_000,
]


def specs(row: Row, place: Path, count: int) -> None:
    """A mistake in a spec is one line with its key, exit code 78 or 2, before anything starts."""
    spec(place)
    wrong = [one.strip() for line in OVERRIDES.strip().splitlines() for one in line.split("|")]
    for given in wrong[: max(1, count - len(TEXTS))]:
        done = forked(command("validate", "tiny.yaml", given), place)
        is_right = done.code in (78, 2, 66, 65) and refused_in_one_line(done)
        row.count(verdict_of(done, is_right), f"{given}: {done.code} {done.said[-300:]}")
    for text in TEXTS[:count]:
        (place / "odd.yaml").write_text(text, encoding="latin-1")
        done = forked(command("validate", "odd.yaml"), place)
        is_right = done.code in (78, 2) and refused_in_one_line(done) and not (place / "executed").exists()
        row.count(verdict_of(done, is_right), f"{text[:40]!r}: {done.code} {done.said[-300:]}")


SAMPLER = """
from typing import Literal
import torch
from pixelflow.core.hookspecs import hookimpl
from pixelflow.core.interfaces import Sampler

class Own(Sampler):
    '''A step of Euler.'''
    order = 1
    nfe_per_step = 1
    class Params(Sampler.Params):
        type: Literal["NAME.own"] = "NAME.own"
        {field}
    {body}

@hookimpl
def register_components():
    return [Own]
"""
INTEGRATE = """def integrate(self, field, x, points, noise):
        for now, then in zip(points[:-1], points[1:]):
            {step}
        return x
"""
RIGHT = INTEGRATE.format(step="x = field.stepped(x + (then - now) * field(x, now), then)")

HOOK = """
from pixelflow.core.hookspecs import hookimpl

@hookimpl
def register_components({arguments}):
    {body}
"""

BROKEN: dict[str, str] = {
    "syntax": "def (",
    "raises on import": "raise RuntimeError('no')",
    "raises at exit of import": "import sys; sys.exit(3)",
    "missing package": "import a_package_that_is_not_there",
    "base exception": "raise KeyboardInterrupt",
    "leaves the process": "import os; os._exit(0)",
    "hangs": "import time; time.sleep(10_000)",
    "leaves a thread": "import threading, time; threading.Thread(target=lambda: time.sleep(10_000)).start()",
    "prints": "print('hello from a plugin' * 10)",
    "recursion": "def f(): return f()\nf()",
    "hook returns none": HOOK.format(arguments="", body="return None"),
    "hook returns text": HOOK.format(arguments="", body="return ['x']"),
    "hook raises": HOOK.format(arguments="", body="raise ValueError"),
    "hook misspelt": HOOK.replace("register_components", "register_componets").format(arguments="", body="return []"),
    "hook takes arguments": HOOK.format(arguments="other", body="return []"),
    "no hook": "x = 1",
    "hook is no function": "register_components = 7",
    "takes a built-in's name": SAMPLER.replace("NAME.own", "euler").format(field="", body=RIGHT),
    "no method": SAMPLER.format(field="", body="pass"),
    "no params": SAMPLER.format(field="", body=RIGHT).replace('        type: Literal["NAME.own"] = "NAME.own"\n', ""),
    "open params": SAMPLER.format(field="anything: object = None", body=RIGHT),
    "wrong default": SAMPLER.format(field="size: int = 'large'", body=RIGHT),
    "raises in a step": SAMPLER.format(field="", body=INTEGRATE.format(step="raise ValueError('a step')")),
    "no step is told": SAMPLER.format(field="", body=INTEGRATE.format(step="x = x + (then - now) * field(x, now)")),
    "returns nothing": SAMPLER.format(field="", body="def integrate(self, *given):\n        return None"),
    "returns another shape": SAMPLER.format(
        field="", body=INTEGRATE.format(step="x = field.stepped(x[..., 1:], then)")
    ),
    "returns nan": SAMPLER.format(field="", body=INTEGRATE.format(step="x = field.stepped(x * float('nan'), then)")),
    "other arguments": SAMPLER.format(field="", body="def integrate(self):\n        return None"),
    "changes its input": SAMPLER.format(field="", body=INTEGRATE.format(step="x = field.stepped(x.zero_(), then)")),
    "order too high": SAMPLER.format(field="", body=RIGHT).replace("order = 1", "order = 4"),
    "constructor raises": SAMPLER.format(field="", body="def __init__(self, *a, **k):\n        raise OSError('no')"),
    "control characters": "raise RuntimeError('\\x1b[31m\\u202e red')",
}


def plugins(row: Row, place: Path, count: int) -> None:
    """A broken plugin is named in one line, and what does not need it goes on; one like them that is whole passes."""
    spec(place / "whole")
    site = _installed(place / "whole", "acme", SAMPLER.format(field="", body=RIGHT))
    whole = run(["check-plugin", "acme"], place / "whole", _beside(site), seconds=300)
    assert whole.code == 0, whole.said
    for index, (what, code) in enumerate(list(BROKEN.items())[:count]):
        own = place / f"plugin{index}"
        spec(own)
        site = _installed(own, f"acme{index}", code)
        done = run(["validate", "tiny.yaml"], own, _beside(site), seconds=300)
        checked = run(["check-plugin", f"acme{index}"], own, _beside(site), seconds=300)
        name = f"acme{index}" in done.said + checked.said
        is_right = name and (done.code == 0 or refused_in_one_line(done) or what == "leaves the process")
        is_right &= "\x1b[31m" not in done.said and (checked.code != 0 or what in ("prints", "leaves a thread"))
        worst = checked if checked.is_hung or checked.is_ugly else done
        row.count(
            verdict_of(worst, is_right),
            f"{what}: {done.code} {checked.code} {done.said[-200:]} | {checked.said[-300:]}",
        )
        shutil.rmtree(own)


def _beside(site: Path) -> dict[str, str]:
    """Variables by which the plugins of a folder are found."""
    return {"PYTHONPATH": f"{Path(__file__).parents[2]}:{site}", "PIXELFLOW_PLUGIN_TIMEOUT": "10"}


def _installed(own: Path, name: str, code: str) -> Path:
    """A distribution as pip --target leaves it."""
    site = own / "site"
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pixelflow]\n{name} = {name}\n")
    (site / f"{name}.py").write_text(code.replace("NAME", name))
    return site


def not_finite(row: Row, place: Path, count: int) -> None:
    """Losses and weights that are not finite end a training, with the last finite checkpoint kept."""
    import torch

    for trial in range(count):
        own = place / f"nan{trial}"
        spec(own)
        made = forked(command("train", "tiny.yaml", "training.steps=2"), own)
        kept = newest(own / "runs/tiny")
        rate = 10.0 ** (20 + trial % 20)
        done = forked(command("train", "tiny.yaml", f"training.learning_rate={rate:g}", "--run", "wild"), own)
        wild = newest(own / "runs/wild")
        is_finite = wild is None or all(tensor.isfinite().all() for tensor in _tensors(wild, torch))
        is_right = made.code == 0 and kept is not None and done.code in (76, 0) and is_finite
        row.count(verdict_of(done, is_right, "lost"), f"rate {rate:g}: {done.code} {done.said[-300:]}")
        shutil.rmtree(own)


def _tensors(checkpoint: Path, torch: object) -> Iterator[object]:
    from safetensors.torch import load_file

    for file in sorted(checkpoint.glob("*.safetensors")):
        yield from load_file(file).values()
