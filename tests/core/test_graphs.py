"""Evaluations replayed as graphs: what is captured when, that each has its own inputs, and what is said where not.

A CPU records nothing; what is replayed here is the same evaluation on the memory that was captured.
"""

from __future__ import annotations

import logging

import pytest
import torch

from pixelflow.core import graphs
from pixelflow.generation import draw as drawing
from pixelflow.generation.draw import draw
from tests.conftest import lively_model, make_spec

TEXT = "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2}]"


class Recorder:
    """Keeps the evaluation with the memory that it reads, and does it again into the memory of its first result."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(self, evaluate):
        self.captured += 1
        output = evaluate().clone()

        def replay() -> None:
            self.replayed += 1
            output.copy_(evaluate())

        output.fill_(float("nan"))
        return replay, output


@pytest.fixture
def recorder(monkeypatch):
    """As if the CPU could replay."""
    recorder = Recorder()
    monkeypatch.setattr(graphs, "wanted", lambda setting, backbone, flop: bool(setting))
    monkeypatch.setattr(graphs, "_CudaCapture", lambda: recorder)
    return recorder


@pytest.mark.parametrize("conditioners", [(), (TEXT,)], ids=["labels", "text"])
def test_replayed_images_are_the_same_to_the_bit_over_batches(recorder, conditioners, monkeypatch):
    held, hold = [], graphs._Held
    monkeypatch.setattr(graphs, "_Held", lambda condition: held.append(1) or hold(condition))
    spec = make_spec(*conditioners, "sampling.steps=4", "sampling.batch_size=2")
    model = lively_model(spec)
    values = {"label": [1, 2, 3, 4, 5], "caption": ["one", "two", "six", "ten", "few"]}
    values = {conditioner.reads: values[conditioner.reads] for conditioner in model.conditioners}
    plain, replayed = (
        torch.cat([part.images for part in draw(model, spec, values, range(5), sampling=own)])
        for own in [spec.sampling.model_copy(update={"cuda_graphs": wanted}) for wanted in (False, True)]
    )
    assert torch.equal(plain, replayed)
    assert recorder.captured == 2 * 2, "two stages; batches of two and of one"
    assert len(held) == 2, "conditions are copied into memory of their own once a size of batches"
    evaluations = 3 * 2 * 4
    assert recorder.replayed == evaluations - 2 * recorder.captured
    assert "forward" not in vars(model.backbone), "the run's own model is left alone"


def test_text_of_ever_new_lengths_makes_no_more_graphs_than_a_few(recorder, monkeypatch):
    monkeypatch.setattr(graphs, "_MOST", 3)
    spec = make_spec(TEXT, "sampling.steps=4", "sampling.batch_size=1", "sampling.cuda_graphs=true")
    captions = ["a" * length for length in (1, 2, 3)]
    list(draw(lively_model(spec), spec, {"caption": captions}, range(3)))
    assert recorder.captured == 3


def test_what_cannot_be_captured_runs_as_it_is_and_is_said(recorder, monkeypatch, caplog):
    def fails(evaluate):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "_CudaCapture", lambda: fails)
    spec = make_spec("sampling.steps=4", "sampling.cuda_graphs=true")
    with caplog.at_level(logging.WARNING):
        (found,) = draw(lively_model(spec), spec, {"label": [1]}, [0])
    assert found.images.isfinite().all()
    assert caplog.text.count("evaluations run without CUDA graphs: operation not permitted") == 1


def test_16_bits_by_autocast_are_not_replayed(recorder, monkeypatch):
    spec = make_spec("sampling.steps=4", "sampling.precision=bfloat16", "sampling.cuda_graphs=true")
    model = lively_model(spec)
    monkeypatch.setattr(type(model.backbone), "runs_in_16_bits", False)
    list(draw(model, spec, {"label": [1]}, [0]))
    assert recorder.captured == 0


def test_a_device_without_graphs_is_named_where_they_are_asked_for(caplog):
    spec = make_spec("sampling.steps=1", "sampling.cuda_graphs=true")
    with caplog.at_level(logging.WARNING):
        list(draw(lively_model(spec), spec, {"label": [1]}, [0]))
    assert caplog.text.count("sampling.cuda_graphs: there are none on the cpu; evaluations run without") == 1


def test_auto_replays_small_batches_on_gpus_alone(monkeypatch):
    backbone = lively_model(make_spec()).backbone
    assert not graphs.wanted("auto", backbone, 0.0)
    monkeypatch.setattr(graphs, "_device", lambda backbone: torch.device("cuda"))
    assert graphs.wanted("auto", backbone, graphs._LARGEST)
    assert not graphs.wanted("auto", backbone, 2 * graphs._LARGEST)
    assert graphs.wanted(True, backbone, 2 * graphs._LARGEST)
    assert not graphs.wanted(False, backbone, 0.0)


def test_text_that_is_packed_by_its_mask_is_not_replayed(monkeypatch, caplog):
    backbone = lively_model(make_spec("backbone={type: mmdit, depth: 1, heads: 1, head_dim: 16}", TEXT)).backbone
    monkeypatch.setattr(graphs, "_device", lambda backbone: torch.device("cuda"))
    assert not graphs.wanted("auto", backbone, 0.0)
    with caplog.at_level(logging.WARNING):
        assert not graphs.wanted(True, backbone, 0.0)
    assert "sampling.cuda_graphs: the backbone mmdit runs without" in caplog.text


def test_a_batch_s_arithmetic_decides(monkeypatch):
    """Of an evaluation at the last stage."""
    asked = []
    monkeypatch.setattr(graphs, "wanted", lambda setting, backbone, flop: asked.append(flop))
    spec = make_spec("sampling.batch_size=4", "sampling.steps=1", "sampling.cuda_graphs=auto")
    model = lively_model(spec)
    for count in (2, 4, 8):
        drawing.draw(model, spec, {}, range(count))
    assert asked[1] == pytest.approx(2 * asked[0])
    assert asked[2] == asked[1]
