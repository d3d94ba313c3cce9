"""The training loop: what it writes, how it stops, what it refuses."""

import errno
import os
import re
import signal
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from pixelflow.core.assembly import build_model
from pixelflow.core.interfaces import BadSample
from pixelflow.data.digits import Digits
from pixelflow.generation import draw as drawing
from pixelflow.runs import checkpoint, tensor_files
from pixelflow.system.errors import (
    CannotWriteError,
    DataError,
    NonFiniteError,
    OutOfMemoryError,
    PreemptedError,
    UsageError,
)
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import Stop, StopSignals
from pixelflow.training.loop import Trainer
from pixelflow.training.objective import WorkMaker
from pixelflow.training.previews import Previews
from tests import processes
from tests.conftest import TINY, make_spec
from tests.training.conftest import lines_of
from tests.training.test_resume import stop_at


def test_a_run_holds_checkpoints_metrics_and_pictures(trained):
    run = trained("run", "training.sample_every=2", "training.samples=3")
    assert checkpoint.steps(run.checkpoints) == [2, 4]
    lines = lines_of(run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        assert len(line["loss_by_stage"]) == 2
        assert line["loss"] == pytest.approx(sum(line["loss_by_stage"]) / 2)  # the stages have equal shares
        assert line["gradient_norm"] > 0
    pictures = sorted(path.name for path in run.samples.iterdir())
    assert pictures == [f"step-0000000{step}{kind}.png" for step in (0, 2, 4) for kind in ("-stages", "")]
    with Image.open(run.samples / "step-00000004.png") as picture:
        assert picture.width > 64


def test_the_last_step_is_logged_and_saved_whatever_the_intervals(trained):
    run = trained("run", "training.steps=5", "training.log_every=3", "training.save_every=100")
    assert checkpoint.steps(run.checkpoints) == [5]
    assert [line["step"] for line in lines_of(run)] == [3, 5]


def test_training_lowers_the_loss(trained):
    run = trained("run", "training.steps=60", "training.log_every=15", "training.save_every=60", "image.size=8",
                  "training.batch_size=32", "training.learning_rate=3e-3")  # fmt: skip
    losses = [line["loss"] for line in lines_of(run)]
    assert losses[-1] < 0.7 * losses[0]


def test_accumulation_is_the_whole_batch(trained):
    whole, parts = trained("whole"), trained("parts", "training.grad_accumulation=4")
    for a, b in zip(lines_of(whole), lines_of(parts), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)


def test_recomputed_activations_give_the_same_weights(trained):
    plain, recomputed = trained("plain"), trained("recomputed", "training.activation_checkpointing=true")
    a, b = (checkpoint.load(run.checkpoints).tensors["ema"] for run in (plain, recomputed))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_bfloat16_trains_float32_weights(trained):
    run = trained("run", "training.precision=bfloat16")
    assert all(tensor.dtype == torch.float32 for tensor in checkpoint.load(run.checkpoints).tensors["ema"].values())
    exact = trained("exact")
    for a, b in zip(lines_of(run), lines_of(exact), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0.02)
        assert a["loss"] != b["loss"] or a["step"] == 1  # a zero-initialised network says 0 in every precision


def test_a_finished_run_says_so(trained, capsys):
    trained("run")
    capsys.readouterr()
    trained("run")
    assert "is finished: 4 steps" in capsys.readouterr().err


def test_what_does_not_alter_a_step_may_change(trained):
    trained("run")
    run = trained("run", "training.save_every=3", "sampling.steps=2", "evaluation.images=5", "training.steps=5")
    assert run.read_spec().sampling.steps == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.learning_rate=0.5", "training.learning_rate: 0.001 there, 0.5 here"),
        ("backbone.depth=1", "backbone.depth: 2 there, 1 here"),
        ("seed=4", "seed: 3 there, 4 here"),
        ("cascade.up=bilinear", "cascade.up"),
    ],
)
def test_another_spec_is_refused(trained, change, said):
    trained("run")
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        trained("run", change)
    assert "--run NAME" in str(caught.value)
    assert "\n" not in str(caught.value)


def spoil(monkeypatch, step: int, what: str) -> None:
    original = Trainer.step

    def spoilt(self, batch, began):
        if self.state.step == step - 1:
            weight = self.state.model.backbone.blocks[0].modulation.weight
            if what == "gradient":
                weight.register_hook(lambda gradient: gradient * float("inf"))
            else:
                batch.groups[0].pixels[0] = float("nan")
        original(self, batch, began)

    monkeypatch.setattr(Trainer, "step", spoilt)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_not_a_number_stops_before_the_state_is_spoilt(trained, tmp_path, monkeypatch, what):
    with monkeypatch.context() as patch:
        spoil(patch, 4, what)
        with pytest.raises(NonFiniteError, match=f"the {what} of step 4 .* checkpoint of step 2 is kept") as caught:
            trained("run")
    assert caught.value.exit_code == 76
    found = checkpoint.load(tmp_path / "run" / "checkpoints", parts=("model", "ema", "optimizer"))
    assert found.step == 2
    assert all(tensor.isfinite().all() for named in found.tensors.values() for tensor in named.values())
    assert checkpoint.steps(trained("run").checkpoints) == [2, 4]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_without_a_line_it_is_noticed_one_step_later_and_touches_no_weight(trained, monkeypatch, what, optimizer):
    """Nobody waits for a step before the next has begun."""
    weights = []
    spoil(monkeypatch, 3, what)
    spoilt = Trainer.step

    def watched(self, batch, began):
        weights.append({name: own.clone() for name, own in self.state.model.state_dict().items()})
        spoilt(self, batch, began)

    monkeypatch.setattr(Trainer, "step", watched)
    options = ("training.log_every=100", "training.save_every=100", "training.steps=100")
    with pytest.raises(NonFiniteError, match=f"the {what} of step 3 .* no checkpoint was written yet"):
        trained("run", *options, f"training.optimizer={optimizer}", "training.sample_every=null")
    assert len(weights) == 4, "the fourth step was begun and not done"
    assert all(torch.equal(weights[3][name], own) for name, own in weights[2].items())
    assert any(not torch.equal(weights[2][name], own) for name, own in weights[1].items())


def test_pictures_wait_for_their_step(trained, tmp_path, monkeypatch):
    spoil(monkeypatch, 3, "gradient")
    with pytest.raises(NonFiniteError, match="the gradient of step 3"):
        trained("run", "training.log_every=100", "training.save_every=100", "training.sample_every=3")
    assert not list((tmp_path / "run" / "samples").glob("step-00000003*"))


class NothingIsRead(TorchDispatchMode):
    """Fails where a tensor's number is asked for: a host that does so waits for its device. Batches lie on the host."""

    is_making_work = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert self.is_making_work or func is not torch.ops.aten._local_scalar_dense.default, "a number was read"
        return func(*args, **(kwargs or {}))


def test_a_step_reads_nothing_of_its_own(trained, monkeypatch):
    step, make, mode, done = Trainer.step, WorkMaker.__call__, NothingIsRead(), []

    def watched(self, batch, began):
        with mode:
            step(self, batch, began)
        done.append(self.state.step)

    def made(self, batch, number):
        mode.is_making_work = True
        work = make(self, batch, number)
        mode.is_making_work = False
        return work

    monkeypatch.setattr(WorkMaker, "__call__", made)
    monkeypatch.setattr(Trainer, "step", watched)
    trained("run", "training.log_every=4")
    assert done == [1, 2, 3, 4]


def test_a_full_disk_keeps_what_is_there(trained, tmp_path, monkeypatch):
    original = tensor_files.save_file

    def full(named, path):
        if "step-00000004" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(named, path)

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(CannotWriteError, match="No space left"):
        trained("run")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    assert checkpoint.steps(trained("run").checkpoints) == [2, 4]


def test_too_many_unreadable_images_stop_and_save(trained, tmp_path, monkeypatch):
    original = Digits.sample

    def unreadable(self, index, generator):
        return BadSample(f"digit {index}", "not a digit") if index % 9 == 0 else original(self, index, generator)

    monkeypatch.setattr(Digits, "sample", unreadable)
    with pytest.raises(DataError, match=r"more than the 2 that training\.bad_images allows"):
        trained("run", "training.steps=50", "training.bad_images=2", "training.save_every=50")
    (saved,) = checkpoint.steps(tmp_path / "run" / "checkpoints")
    assert 0 <= saved < 50
    assert checkpoint.steps(trained("run", "training.steps=50", "training.bad_images=500").checkpoints)[-1] == 50


def test_captions_head_the_pictures(tmp_path):
    class Captioned(Digits):
        def sample(self, index, generator):
            sample = super().sample(index, generator)
            return BadSample("here", "why") if index == 1 else replace(sample, label=None, caption=f"number {index}")

    spec = make_spec("conditioners=[{type: bytes}]", "training.samples=3", "training.sample_every=5")
    previews = Previews(tmp_path / "samples", spec, Captioned(spec.data, height=16, width=16, channels=1))
    asked = []
    model = build_model(spec)
    model.conditioners[0].register_forward_pre_hook(lambda module, inputs: asked.append(inputs[0].shape))
    assert previews.is_due(0)
    previews.draw(model, 0, Parallel(torch.device("cpu")))
    assert asked[0][0] == 3
    assert len(list((tmp_path / "samples").iterdir())) == 2
    assert not previews.is_due(0)


def test_guidance_that_needs_another_run_costs_the_pictures_only(trained, caplog):
    run = trained("run", "training.sample_every=4", "sampling.guidance={type: autoguidance, scale: 2.0}")
    assert checkpoint.steps(run.checkpoints) == [2, 4]
    assert "no pictures at step 4" in caplog.text


def test_ctrl_c_saves_too(trained, tmp_path, monkeypatch, capsys):
    stop_at(monkeypatch, 3, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trained("run")
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2, 3]
    assert "stopped after step 3 and saved" in capsys.readouterr().err


@pytest.mark.parametrize("phase", ["data", "pictures", "saving"])
def test_sigterm_in_every_phase(trained, tmp_path, monkeypatch, phase):
    """Waiting for data and drawing end at once; a save is finished first."""
    sent = []

    def terminate() -> None:
        if not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        if phase == "data":
            patch.setattr("pixelflow.training.loop.batches", stuck(terminate))
        elif phase == "pictures":
            patch.setattr(drawing, "_draw_part", lambda *given: next(stuck(terminate)()))
        else:
            original = tensor_files.save_file
            patch.setattr(tensor_files, "save_file", lambda named, path: (terminate(), original(named, path)))
        with pytest.raises(PreemptedError) as caught:
            trained("run", "training.sample_every=2", "training.samples=1")
    assert caught.value.exit_code == 75
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == ([2] if phase == "saving" else [0])
    run = trained("run", "training.sample_every=2", "training.samples=1")
    assert checkpoint.steps(run.checkpoints) == [2, 4]
    assert len(list(run.samples.iterdir())) == 6


def stuck(terminate):
    """A stream that never gives anything, as of a file server that hangs."""

    def stream(*args, **kwargs):
        terminate()
        time.sleep(60)
        yield

    return stream


def test_a_second_ctrl_c_ends_at_once():
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_two_processes_do_not_train_one_run(trained):
    run = trained("run")
    with run.locked(), pytest.raises(UsageError, match="another process"):
        trained("run", "training.steps=9")


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            signals.check()
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(Stop):
                signals.check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_whose_folder_was_renamed_goes_on(trained, tmp_path):
    run = trained("run")
    run.path.rename(tmp_path / "renamed")
    renamed = trained("renamed", "training.steps=6", "name=renamed")
    assert checkpoint.steps(renamed.checkpoints)[-1] == 6
    assert renamed.read_spec().name == "renamed"


def test_what_cannot_be_written_is_named_and_not_the_lock(trained):
    run = trained("run")
    run.metrics_file.unlink()
    run.metrics_file.mkdir()
    with pytest.raises(CannotWriteError, match=r"metrics\.jsonl"):
        trained("run", "training.steps=6")


def test_a_run_from_before_compiling_was_a_choice_goes_on_as_an_uninterrupted_one(trained):
    """Its spec says false, where one that is read anew says auto."""
    whole = trained("whole")
    trained("run", "training.steps=2", "training.compile=false")
    assert lines_of(trained("run")) == lines_of(whole)


@pytest.mark.slow
def test_the_compiled_backbone_trains_and_keeps_its_names(trained, capsys):
    plain, compiled = trained("plain"), trained("compiled", "training.compile=true")
    assert re.search(r"the first step took [0-9.]+ s, in which blocks were compiled", capsys.readouterr().err)
    a, b = (checkpoint.load(run.checkpoints).tensors["ema"] for run in (plain, compiled))
    assert a.keys() == b.keys()
    assert lines_of(plain)[-1]["loss"] == pytest.approx(lines_of(compiled)[-1]["loss"], rel=1e-3)


def command(tmp_path, *overrides: str) -> list[str]:
    spec = tmp_path / "tiny.yaml"
    spec.write_text(TINY)
    return ["-m", "pixelflow", "train", str(spec), *overrides, "--out", str(tmp_path / "runs")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_command_stops_on_a_signal_with_75_and_goes_on(tmp_path, number: signal.Signals):
    arguments = command(tmp_path, "training.steps=1000000", "training.save_every=1000000", "training.log_every=5")
    process = processes.start(*arguments)
    process.wait_for("step 5/")
    process.send_signal(number)
    assert process.wait() == 75
    assert "saved; the same command continues" in process.said
    assert "Traceback" not in process.said
    (reached,) = checkpoint.steps(tmp_path / "runs" / "tiny" / "checkpoints")
    again = processes.run(*arguments, f"training.steps={reached + 1}")
    assert again.returncode == 0
    assert f"continuing after step {reached}" in again.stderr
    assert checkpoint.steps(tmp_path / "runs" / "tiny" / "checkpoints") == [reached, reached + 1]


def test_memory_that_runs_out_is_no_bug(trained):
    with pytest.raises(
        OutOfMemoryError, match=r"out of memory training; set training\.activation_checkpointing=true.*batch_size"
    ):
        trained("run", "backbone.mlp_ratio=1e12")
