"""Averages by a power of time: what training follows, what is kept, and what is made of it afterwards."""

from __future__ import annotations

import functools
import shutil

import pytest
import torch

from pixelflow.generation.run import Run
from pixelflow.runs import checkpoint
from pixelflow.runs.power_average import decay
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import stored
from pixelflow.runs.weight_file import TrainedWeights
from pixelflow.system.errors import DataError, MissingInputError, PreemptedError, UsageError
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training.loop import Trainer
from pixelflow.training.session import train
from tests.conftest import make_spec
from tests.training.test_resume import stop_at

ASKED = ("training.power_ema={lengths: [0.05, 0.1], every: 5}", "training.steps=40", "training.save_every=5")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """``once(every)``: a run with snapshots every so many steps, and the weights after each of its steps."""

    @functools.cache
    def trained(every: int):
        weights = []
        step = Trainer.step

        def watched(self, batch, began):
            step(self, batch, began)
            weights.append({name: own.detach().clone() for name, own in self.state.model.state_dict().items()})

        spec = make_spec(*ASKED, f"training.power_ema.every={every}")
        with pytest.MonkeyPatch.context() as patch, StopSignals() as signals:
            patch.setattr(Trainer, "step", watched)
            run = train(spec, tmp_path_factory.mktemp("once") / "run", Parallel(torch.device("cpu")), signals)
        return run.path, weights

    return trained


@pytest.fixture
def followed(request, once, tmp_path):
    """A run that follows two averages, with snapshots every 5 steps or so, and the weights after each of its steps."""
    path, weights = once(getattr(request, "param", 5))
    return RunFolder(shutil.copytree(path, tmp_path / "run")), weights


def average(weights, length: float) -> dict[str, torch.Tensor]:
    """By the definition, in float64."""
    found = {}
    for step, own in enumerate(weights):
        kept = decay(step, length)
        found = {name: kept * found.get(name, 0.0) + (1 - kept) * value.double() for name, value in own.items()}
    return found


def assert_near(found, wanted, tolerance: float) -> None:
    for name, tensor in wanted.items():
        scale = tensor.abs().max().item()
        torch.testing.assert_close(found[name].double(), tensor, rtol=0, atol=tolerance * scale + 1e-9)


def test_what_is_followed_is_the_average(followed):
    run, weights = followed
    assert checkpoint.steps(run.averages) == [5, 10, 15, 20, 25, 30, 35, 40]
    for length in (0.05, 0.1):
        assert_near(stored(run, 40, f"{length}").tensors, average(weights, length), 1e-5)
        assert_near(stored(run, 20, f"{length}").tensors, average(weights[:20], length), 1e-5)


@pytest.mark.parametrize("followed", [2], indirect=True)
def test_other_lengths_are_made_of_snapshots(followed):
    run, weights = followed
    found = stored(run, None, "0.075")
    assert (found.step, found.weights) == (40, "0.075")
    off = [(found.tensors[n].double() - exact).norm() for n, exact in average(weights, 0.075).items()]
    other = stored(run, 40, "0.05").tensors
    apart = [(other[n].double() - exact).norm() for n, exact in average(weights, 0.1).items()]
    assert sum(off) < 0.03 * sum(apart)


def test_every_length_is_drawn_with_and_told(followed, tmp_path):
    run, _ = followed
    opened = Run.open(run.path, weights="0.075")
    assert (opened.source.step, opened.source.weights) == (40, "0.075")
    again = Run.reopen(opened.source)
    images = [one.sample(labels=[3], seed=1) for one in (opened, again, Run.open(run.path))]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    TrainedWeights.of(run, None, "0.075").write(tmp_path / "weights.safetensors")
    assert TrainedWeights.read(tmp_path / "weights.safetensors").weights == "0.075"


def test_what_is_out_of_reach_is_refused(followed):
    run, _ = followed
    with pytest.raises(UsageError, match=r"length 0.01 at step 40 is not within reach .*0.05 and 0.1.*% off"):
        stored(run, None, "0.01")
    with pytest.raises(MissingInputError, match=r"no averages of step 3 or before \(first: 5\)"):
        stored(run, 3, "0.05")
    with pytest.raises(UsageError, match=r"above 0 and at most 0\.28"):
        stored(run, None, "0.5")


def test_a_run_that_follows_none_says_so(trained):
    run = trained("run", "training.steps=1")
    with pytest.raises(UsageError, match=r"keeps no averages of which others can be made \(training.power_ema\)"):
        stored(run, None, "0.05")
    assert not run.averages.exists()


def test_a_run_that_was_stopped_follows_on_bit_for_bit(once, trained, monkeypatch):
    whole = RunFolder(once(5)[0])
    with monkeypatch.context() as patch:
        stop_at(patch, 12)
        with pytest.raises(PreemptedError):
            trained("run", *ASKED)
    run = trained("run", *ASKED)
    for length in ("0.05", "0.075", "0.1"):
        one, other = stored(whole, None, length), stored(run, None, length)
        assert one.sha256 == other.sha256
        assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def test_a_snapshot_that_a_kill_prevented_is_made_up_for(followed, trained):
    run, _ = followed
    before = stored(run, None, "0.075").sha256
    shutil.rmtree(run.averages / "step-00000040")
    assert checkpoint.steps(run.averages)[-1] == 35
    run = trained("run", *ASKED)
    assert stored(run, None, "0.075").sha256 == before


def test_a_damaged_snapshot_is_named(followed):
    run, _ = followed
    file = run.averages / "step-00000035" / "power_0.1.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"step-00000035/power_0.1.safetensors: is damaged"):
        stored(run, None, "0.075")


def test_they_cannot_be_added_later(trained):
    trained("run", "training.steps=2")
    with pytest.raises(UsageError, match=r"another spec \(training.power_ema"):
        trained("run", "training.steps=2", "training.power_ema={}")
