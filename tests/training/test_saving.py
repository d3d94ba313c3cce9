"""Checkpoints that are written behind the training."""

import errno
import os
import threading

import pytest
import torch

from pixelflow.runs import checkpoint
from pixelflow.system.engines import Engine
from pixelflow.system.errors import CannotWriteError, NonFiniteError
from pixelflow.system.parallel import Parallel
from pixelflow.training.loop import Trainer
from pixelflow.training.saving import Saver


@pytest.fixture
def saver(tmp_path):
    return Saver(tmp_path, Engine(Parallel(torch.device("cpu"))), keep=2, newest=None)


@pytest.fixture
def slow_disk(monkeypatch):
    """A disk that is done when it is told so."""
    is_done, write = threading.Event(), checkpoint.write

    def slow(*given):
        assert is_done.wait(60)
        return write(*given)

    monkeypatch.setattr(checkpoint, "write", slow)
    return is_done


def test_training_goes_on_while_the_disk_is_slow(saver, slow_disk, tmp_path):
    """What is written is the state of the step, whatever becomes of the weights meanwhile."""
    weights = {"model": {"a": torch.ones(3)}}
    saver.begin(1, weights, {"step": 1})
    weights["model"]["a"].zero_()
    assert (saver.newest, checkpoint.steps(tmp_path)) == (None, [])
    slow_disk.set()
    saver.finish()
    assert (saver.newest, checkpoint.steps(tmp_path)) == (1, [1])
    assert torch.equal(checkpoint.load(tmp_path, parts=["model"]).tensors["model"]["a"], torch.ones(3))


def test_no_thread_outlives_a_training_that_fails(slow_disk, trained, monkeypatch):
    """The next one in this process removes drafts."""

    def spoilt(self):
        threading.Timer(0.3, slow_disk.set).start()
        raise NonFiniteError("the weights are spoilt")

    save = Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self: save(self) if self.state.step < 4 else spoilt(self))
    with pytest.raises(NonFiniteError):
        trained("run")
    assert not [thread for thread in threading.enumerate() if thread.name == "saving"]


def test_one_is_written_at_a_time(saver, tmp_path):
    for step in (1, 2, 3):
        saver.begin(step, {"model": {"a": torch.full((2,), float(step))}}, {})
        assert saver.newest in (step - 1 or None, step)  # the one before is complete, this one may be
    saver.finish()
    assert checkpoint.steps(tmp_path) == [2, 3]


def test_a_full_disk_is_told_when_training_asks(saver, tmp_path, monkeypatch):
    saver.begin(1, {"model": {"a": torch.ones(3)}}, {})
    saver.finish()

    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.tensor_files, "write", full)
    saver.begin(2, {"model": {"a": torch.ones(3)}}, {})
    with pytest.raises(CannotWriteError, match=r"No space left on device.*are kept"):
        saver.finish()
    assert saver.has_failed
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000001"]
