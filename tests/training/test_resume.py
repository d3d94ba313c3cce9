"""A run that was stopped and continued is the uninterrupted run, bit for bit."""

import os
import signal

import pytest
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import PreemptedError, UsageError
from pixelflow.system.parallel import Parallel
from pixelflow.training.loop import Trainer
from pixelflow.training.state import TrainState
from tests.training.conftest import lines_of

PARTS = ("model", "ema", "optimizer")


def assert_same(one: RunFolder, other: RunFolder) -> None:
    a, b = (checkpoint.load(run.checkpoints, parts=PARTS) for run in (one, other))
    assert a.step == b.step
    for part in PARTS:
        assert a.tensors[part].keys() == b.tensors[part].keys()
        for name, tensor in a.tensors[part].items():
            assert torch.equal(tensor, b.tensors[part][name]), f"{part} {name}"
    assert lines_of(one) == lines_of(other)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Send this process a signal in the middle of step `step`, once."""
    original = Trainer.step

    def stopping(self, batch, began):
        if self.state.step == step - 1 and self.signals.received is None:
            os.kill(os.getpid(), number)
        original(self, batch, began)

    monkeypatch.setattr(Trainer, "step", stopping)


@pytest.mark.parametrize(("workers", "optimizer"), [(0, "adamw"), (2, "adamw"), (0, "muon")])
def test_stopped_mid_epoch_and_mid_window(trained, tmp_path, monkeypatch, workers, optimizer):
    """1,797 images in batches of 300 make an epoch of 5.99 steps: step 4 is within the first, 8 in the second."""
    options = (
        "training.batch_size=300", "training.steps=8", "training.log_every=3", "training.save_every=100",
        "image.size=8", f"training.workers={workers}",
        f"training.optimizer={optimizer}",
    )  # fmt: skip
    whole = trained("whole", *options)
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(PreemptedError, match="after step 4 and saved"):
            trained("parts", *options)
    assert checkpoint.steps(tmp_path / "parts" / "checkpoints") == [4]
    assert_same(whole, trained("parts", *options))


def test_killed_after_metrics_that_no_checkpoint_knows(trained, tmp_path, monkeypatch):
    """A kill between checkpoints leaves lines of metrics behind; they are written once more, not twice."""
    options = ("training.steps=6", "training.save_every=4")
    whole = trained("whole", *options)

    def killed(self, *arguments):
        raise RuntimeError("as if killed")

    original = Trainer.save
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", lambda self: original(self) if self.state.step < 6 else killed(self))
        with pytest.raises(RuntimeError, match="as if killed"):
            trained("parts", *options)
    parts = tmp_path / "parts"
    assert [line["step"] for line in lines_of(parts)] == [1, 2, 3, 4, 5, 6]
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    assert_same(whole, trained("parts", *options))


def test_a_damaged_checkpoint_costs_time_and_nothing_else(trained, caplog):
    options = ("training.steps=6", "training.save_every=2")
    whole, parts = trained("whole", *options), trained("parts", *options)
    damaged = parts.checkpoints / "step-00000006" / "optimizer.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    again = trained("parts", *options)
    assert "falling back" in caplog.text
    assert_same(whole, again)
    assert [entry.name for entry in sorted(again.checkpoints.iterdir())] == ["step-00000004", "step-00000006"]


def test_weights_do_not_depend_on_logging_saving_or_workers(trained):
    plain = trained("plain", "training.log_every=4", "training.save_every=4")
    busy = trained("busy", "training.log_every=1", "training.save_every=1", "training.workers=1",
                   "training.sample_every=2", "training.samples=2")  # fmt: skip
    a, b = (checkpoint.load(run.checkpoints, parts=PARTS).tensors for run in (plain, busy))
    assert all(torch.equal(a[part][name], b[part][name]) for part in PARTS for name in a[part])


def test_stopped_before_the_first_step(trained, tmp_path, monkeypatch):
    original = Trainer.train

    def early(self):
        if self.state.step == 0 and self.signals.received is None and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        original(self)

    whole = trained("whole")
    monkeypatch.setattr(Trainer, "train", early)
    (tmp_path / "again").unlink(missing_ok=True)
    with pytest.raises(PreemptedError, match="after step 0"):
        trained("parts")
    assert_same(whole, trained("parts"))


def test_further_than_it_was_meant_to_go(trained):
    whole = trained("whole", "training.steps=6")
    trained("parts", "training.steps=3")
    further = trained("parts", "training.steps=6")
    assert_same(whole, further)
    assert further.read_spec().training.steps == 6


def test_data_that_moved_are_the_same_data(trained, tmp_path, capsys):
    """A path is a place; anything else about the data makes another run."""
    before, after = tmp_path / "before", tmp_path / "after"
    for index in range(6):
        folder = before / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(10 * index).save(folder / f"{index}.png")
    options = ("image.size=8", "training.save_every=2", "conditioners=[class_label]")
    whole = trained("whole", f"data={{type: image_folder, root: '{before}'}}", "training.steps=4", *options)
    trained("parts", f"data={{type: image_folder, root: '{before}'}}", "training.steps=2", *options)
    before.rename(after)
    moved = f"data={{type: image_folder, root: '{after}'}}"
    capsys.readouterr()
    assert_same(whole, trained("parts", moved, "training.steps=4", *options))
    said = capsys.readouterr().err
    assert f"data.root has moved from {before} to {after}" in said
    with pytest.raises(UsageError, match=r"run of another spec \(data\.flip: true there, false here"):
        trained("parts", moved, "data.flip=false", "training.steps=4", *options)


class Draws(TorchFunctionMode):
    """Counts what is drawn into tensors."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.Tensor.uniform_, torch.Tensor.normal_)
        return func(*args, **(kwargs or {}))


def test_weights_are_drawn_only_where_there_are_none(trained, tiny_spec):
    run = trained("run")
    with Draws() as again:
        state = TrainState.begin(tiny_spec, Parallel(torch.device("cpu")), run.checkpoints)
    with Draws() as first:
        TrainState.begin(tiny_spec, Parallel(torch.device("cpu")), run.path / "none")
    assert (state.step, again.count) == (4, 0)
    assert first.count > 0
