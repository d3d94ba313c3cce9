"""One maker of orders: Python and the command line draw the same for the same words, and refuse the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import pixelflow
from pixelflow.cli.app import main
from pixelflow.generation.gallery import read_order
from pixelflow.generation.run import Run
from tests.conftest import make_run, make_spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec())


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = make_spec("conditioners=[{type: bytes, dim: 16}]")
    return make_run(tmp_path_factory.mktemp("runs") / "text", spec)


def typed(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code or 0


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--labels", "3,class 7", "--count", "5", "--seed", "9"], {"labels": [3, "class 7"], "count": 5, "seed": 9}),
        ([], {}),
        (["--size", "12x24", "--labels", "1", "--steps", "2,3"], {"size": (24, 12), "labels": 1, "steps": [2, 3]}),
    ],
)
def test_one_order_of_labels(folder: Path, tmp_path: Path, options, asked):
    assert typed("sample", folder, *options, "--device", "cpu", "--out", tmp_path / "out") == 0
    assert pixelflow.load(folder, device="cpu").prepare(**asked).order == read_order(tmp_path / "out" / "samples.json")


def test_one_order_of_captions(text_folder: Path, tmp_path: Path):
    options = ["--prompt", "a", "--prompt", "b", "--count", 3, "--negative", "c", "--guidance", 2, "--device", "cpu"]
    assert typed("sample", text_folder, *options, "--out", tmp_path / "out") == 0
    run = pixelflow.load(text_folder, device="cpu")
    drawing = run.prepare(prompts=["a", "b"], count=3, negatives="c", guidance=2.0)
    assert drawing.order == read_order(tmp_path / "out" / "samples.json")
    assert drawing.titles == ("a", "b", "a")
    assert run.prepare(text=torch.zeros(1, 3, 16), guidance="none").order is None


def test_a_result_holds_all_that_came_of_it(folder: Path):
    run = pixelflow.load(folder)
    drawn = run.draw(labels=[1, 2], steps=[2, 3], guidance=2.0, keep_stages=True)
    assert torch.equal(drawn.images, run.sample(labels=[1, 2], steps=[2, 3], guidance=2.0))
    assert [tuple(stage.shape) for stage in drawn.stages] == [(2, 1, 8, 8), (2, 1, 16, 16)]
    assert torch.equal(drawn.stages[-1], drawn.images)
    assert (drawn.nfe, drawn.titles, len(drawn)) == ((4, 6), ("class 1", "class 2"), 2)
    assert drawn.order.seeds == (0, 1)
    assert not run.draw(labels=1, steps=1).stages
    with pytest.raises(TypeError, match="unexpected keyword argument 'lables'"):
        run.sample(lables=1)


def test_a_drawing_tells_how_far_it_is(folder: Path):
    run, told = pixelflow.load(folder), []
    sampling = run.prepare(count=5, steps=1)
    replace(sampling, sampling=sampling.sampling.model_copy(update={"batch_size": 2})).draw(
        lambda *progress: told.append(progress)
    )
    assert told == [("images", 0, 5), ("images", 2, 5), ("images", 4, 5), ("images", 5, 5)]


def test_threads_draw_from_one_run(folder: Path):
    """Each thread's images and evaluations are those that it gets alone, whatever the others ask for."""
    run = pixelflow.load(folder)
    asked = [
        {"labels": [index % 10, 3], "seed": index, "steps": 2 + index % 3, "guidance": 1.0 + index % 2}
        for index in range(8)
    ]
    alone = [run.draw(**one) for one in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: run.draw(**one), asked))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.nfe == other.nfe
        assert one.order == other.order


def test_drawing_leaves_no_trace_on_a_run(folder: Path):
    run = pixelflow.load(folder)
    before = dict(vars(run))
    written = []

    def write(self, name, value):
        written.append(name)
        nn.Module.__setattr__(self, name, value)

    for module in run.model.modules():
        module.__class__ = type(module.__class__.__name__, (module.__class__,), {"__setattr__": write})
    run.sample(labels=1)
    assert vars(run) == before
    assert "training" not in written


def test_a_model_that_trains_goes_on_training(folder: Path):
    run = Run.open(folder)
    run.model.train()
    frozen = next(iter(run.model.backbone.children())).eval()
    run.sample(labels=1, steps=1)
    assert run.model.training
    assert not frozen.training
