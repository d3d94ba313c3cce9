"""Training with trackers: TensorBoard's own files, several at once, failing ones, and what earlier specs said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pytest

import pixelflow
from pixelflow.core.interfaces import Tracker
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import MissingDependencyError
from tests.conftest import make_spec

SHORT = ("training.steps=4", "training.log_every=2", "training.sample_every=4", "training.samples=2")


@pixelflow.register
class Told(Tracker):
    """Keeps what it is told as lines of a file, and fails where it is asked to."""

    class Params(Tracker.Params):
        type: Literal["test.told"] = "test.told"
        fails_in: Literal["begin", "scalars", "pictures", "end"] | None = None
        """Where it fails."""

    params: Params

    def _tell(self, method: str, text: object) -> None:
        if self.params.fails_in == method:
            raise ConnectionError("the service\nis away")
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "told").open("a") as file:
            file.write(f"{method} {text}\n")

    def begin(self, spec, step):
        print("a service says hello")
        self._tell("begin", f"{self.run} {spec['training']['steps']} {step}")

    def scalars(self, step, values):
        self._tell("scalars", f"{step} {' '.join(values)}")

    def pictures(self, step, files):
        assert all(file.is_file() for file in files.values())
        self._tell("pictures", f"{step} {' '.join(files)}")

    def end(self):
        self._tell("end", "")


def told(folder: Path) -> list[str]:
    return (folder / "told").read_text().splitlines()


def test_everything_is_told_and_a_run_goes_on_in_the_same_place(trained, capsys):
    changes = (
        *SHORT,
        "training.trackers=[test.told, test.told]",
        "training.held_out={fraction: 0.1, every: 4}",
        "evaluation={every: 4, images: 64, metrics: [{type: frechet, extractor: pixels_pca}]}",
    )
    trained("run", *changes)
    assert "hello" not in capsys.readouterr().out
    run = trained("run", *changes, "training.steps=6")
    lines = told(run.path / "test.told")
    assert lines == told(run.path / "test.told-2")
    of_step = "loss learning_rate gradient_norm images_per_second loss_of_stage/0 loss_of_stage/1"
    assert lines[:4] == [
        "begin tiny 4 0",
        "pictures 0 samples stages",
        f"scalars 2 {of_step}",
        f"scalars 4 {of_step}",
    ]
    assert set(lines[4:7]) > {"pictures 4 samples stages", "scalars 4 held_out/loss held_out/averaged_loss"}
    assert any(line.startswith("scalars 4 evaluation/frechet_pixels_pca/") for line in lines[4:7])
    assert lines[7:9] == ["end ", "begin tiny 6 4"]
    assert lines[-1] == "end "


@pytest.mark.parametrize("method", ["begin", "scalars", "pictures", "end"])
def test_a_tracker_that_fails_is_named_once_and_stops_nothing(method, trained, capsys):
    run = trained("run", *SHORT, f"training.trackers=[{{type: test.told, fails_in: {method}}}, test.told]")
    complaints = [line for line in capsys.readouterr().err.splitlines() if "goes on without it" in line]
    assert complaints == [
        "the tracker test.told failed, and this training goes on without it: ConnectionError: the service is away"
    ]
    assert told(run.path / "test.told-2")[-1] == "end "
    assert RunFolder(run.path).read_spec().training.steps == 4


def test_trackers_change_nothing_that_is_trained(trained):
    plain, watched = trained("plain", *SHORT), trained("watched", *SHORT, "training.trackers=[tensorboard, test.told]")
    files = [run.checkpoints / "step-00000004/model.safetensors" for run in (plain, watched)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_tensorboard_has_numbers_pictures_and_the_spec(trained):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained("run", *SHORT, "training.tensorboard=true")
    run = trained("run", *SHORT, "training.tensorboard=true", "training.steps=6")
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [one.step for one in events.Scalars("loss")] == [2, 4, 6]
    assert [one.step for one in events.Images("samples")] == [0, 4, 6]
    assert '"name": "tiny"' in events.Tensors("spec/text_summary")[0].tensor_proto.string_val[0].decode()


@pytest.mark.parametrize(
    ("name", "hidden"), [("tensorboard", "torch.utils.tensorboard"), ("wandb",) * 2, ("trackio",) * 2, ("mlflow",) * 2]
)
def test_a_missing_package_is_told_before_the_training(name, hidden, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(MissingDependencyError, match=rf"pixelflow-toolkit\[{name}\]"):
        trained("run", f"training.trackers=[{name}]")


def test_what_earlier_specs_said_means_the_same():
    assert make_spec("training.tensorboard=false").training == make_spec().training
    assert make_spec("training.tensorboard=true").training == make_spec("training.trackers=[tensorboard]").training
