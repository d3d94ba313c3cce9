"""Settings by the names of earlier versions: in specs, overrides, sweeps, kept runs, and settings of plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
import yaml
from pydantic import Field

from pixelflow.cli.app import main
from pixelflow.core import reading
from pixelflow.core.document import parse
from pixelflow.core.interfaces import Sampler
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.run import Run
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.points.keys import cell_key, training_key
from pixelflow.sweep.points.points import read_sweep
from pixelflow.system.errors import SpecError
from tests.conftest import TINY, make_run, make_spec

FORMER = {
    "training.decay=cosine": "training.lr_schedule=cosine",
    "training.clip=2": "training.max_grad_norm=2",
    "training.accumulation=2": "training.grad_accumulation=2",
    "training.checkpointing=true": "training.activation_checkpointing=true",
    "training.phases=[{start: 2, decay: cosine}]": "training.phases=[{start: 2, lr_schedule: cosine}]",
}


@pytest.mark.parametrize(("former", "now"), FORMER.items())
def test_a_former_name_means_the_present_one(former, now, capsys):
    assert make_spec(former) == make_spec(now)
    key = "training.phases.0.decay" if "phases" in former else former.partition("=")[0]
    assert capsys.readouterr().err.startswith(f"override '{former}' {key} is now training.")


def test_a_line_says_where_it_stands(capsys):
    spec = reading.validate(ExperimentSpec, reading.parse(TINY.replace("ema: 0.9", "clip: 3"), "tiny.yaml"))
    assert spec.training.max_grad_norm == 3
    assert capsys.readouterr().err == "tiny.yaml:9:107 training.clip is now training.max_grad_norm\n"


def test_an_override_wins_over_the_file_by_either_name():
    file = TINY.replace("ema: 0.9", "clip: 3")
    assert make_spec("training.max_grad_norm=5", text=file).training.max_grad_norm == 5
    assert make_spec("training.clip=5", text=file.replace("clip", "max_grad_norm")).training.max_grad_norm == 5


@pytest.mark.parametrize("overrides", [("training.clip=1", "training.max_grad_norm=1"), ()])
def test_both_names_are_refused(overrides):
    file = TINY if overrides else TINY.replace("ema: 0.9", "clip: 3, max_grad_norm: 3")
    with pytest.raises(
        SpecError, match=r"training.clip: is now training.max_grad_norm, which is given too; remove one"
    ):
        make_spec(*overrides, text=file)


def test_errors_keep_the_place_that_people_wrote():
    with pytest.raises(SpecError) as wrong:
        make_spec(text=TINY.replace("ema: 0.9", "clip: [1, 2]"))
    assert wrong.value.lines == ("tiny.yaml:9:107 training.max_grad_norm: needs a number, not a list",)


def test_trainings_keep_their_names():
    """As version 0 called them; a sweep would train anew otherwise."""
    spec = make_spec("evaluation.metrics=[frechet]")
    assert (training_key(spec), cell_key(spec)) == ("e73b3c7ff3e1", "2d47f78c1f46")
    assert training_key(make_spec(*FORMER)) == "28881445c42c"


def test_a_sweep_by_former_names_is_the_same_sweep(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY.replace("ema: 0.9", "clip: 3"))

    def read(key: str) -> Any:
        file = tmp_path / "sweep.yaml"
        file.write_text(f"name: two\nbase: tiny.yaml\naxes: {{training.{key}: [1, 2], seed: [1, 2, 3]}}")
        return [point.spec for point in read_sweep(file).points]

    assert read("clip") == read("max_grad_norm")
    assert [spec.training.max_grad_norm for spec in read("clip")[::3]] == [1, 2]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(set(said)) * 3 / 2, "each place is told once a reading"


def test_a_search_by_former_names_is_the_same_search(tmp_path):
    def search(key: str) -> Any:
        (tmp_path / "tiny.yaml").write_text(TINY.replace("ema: 0.9", f"{key}: 3"))
        file = tmp_path / "sweep.yaml"
        file.write_text(
            "name: best\nbase: tiny.yaml\nsearch: {metric: frechet, trials: 2,"
            " parameters: {training.clip: {low: 1, high: 2}}}"
        )
        return read_sweep(file).search

    assert search("clip").key == search("max_grad_norm").key
    assert isinstance(search("clip").parameters["training.clip"].low, float), "as the setting's numbers are"


def rewritten(run: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The run with another spec, as another version may have written it."""
    plain = yaml.safe_load((run / "spec.yaml").read_text())
    change(plain)
    (run / "spec.yaml").write_text(yaml.safe_dump(plain))
    return run


def test_what_drawing_does_not_read_may_be_of_another_version(tmp_path, capsys):
    def later(plain: dict[str, Any]) -> None:
        plain["training"]["new"] = 3
        plain["training"]["optimizer"] = "newer"
        plain["objective"]["hue"] = {"a": 1}
        plain["evaluation"]["more"] = 3
        plain["data"]["fold"] = 3

    run = rewritten(make_run(tmp_path / "run", make_spec("training.ema=0.5")), later)
    images = Run.open(run, device="cpu").sample(labels=[3], seed=1)
    assert torch.equal(
        images, Run.open(make_run(tmp_path / "same", make_spec()), device="cpu").sample(labels=[3], seed=1)
    )
    assert Run.open(run, device="cpu").spec.training.ema == 0.5
    with pytest.raises(SpecError, match=r"training\.new: unknown key"):
        RunFolder(run).read_spec()
    with pytest.raises(SystemExit) as ended:
        main(["sample", str(run), "--labels", "3", "--device", "cpu"])
    assert (ended.value.code, "training" in capsys.readouterr().err) == (0, False)


@pytest.mark.parametrize("block", ["sampling", "cascade", "image", "backbone"])
def test_what_drawing_reads_must_be_known(tmp_path, block):
    run = rewritten(make_run(tmp_path / "run", make_spec()), lambda plain: plain[block].update(new=3))
    with pytest.raises(SpecError, match=rf"{block}\.new: unknown key"):
        Run.open(run, device="cpu")


def test_an_unknown_prediction_is_never_passed_over(tmp_path):
    run = rewritten(make_run(tmp_path / "run", make_spec()), lambda plain: plain["objective"].update(prediction="new"))
    with pytest.raises(SpecError, match="no prediction is called 'new'"):
        Run.open(run, device="cpu")


class Paced(Sampler):
    """Euler's method with an overshoot."""

    order = 1
    nfe_per_step = 1

    def integrate(self, field, x, points, noise):
        assert isinstance(self.params, (First.Params, Second.Params))
        for now, after in pairwise(points):
            x = x + self.params.pace * (after - now) * field(x, now)
        return x


class First(Paced):
    """As the plugin's first version has it."""

    class Params(Sampler.Params):
        type: Literal["words.paced"] = "words.paced"
        percent: float = Field(default=100.0)

        @property
        def pace(self) -> float:
            return self.percent / 100


class Second(Paced):
    """As its second version has it: another name, another unit."""

    class Params(Sampler.Params):
        type: Literal["words.paced"] = "words.paced"
        pace: float = Field(default=1.0)
        former_keys: ClassVar[Mapping[str, Any]] = {"percent": lambda value: {"pace": value / 100}, "speed": "pace"}


@pytest.fixture
def first() -> Iterator[None]:
    registry.add(First, "words 1")
    yield
    registry.remove("sampler", "words.paced")


def upgrade() -> None:
    registry.remove("sampler", "words.paced")
    registry.add(Second, "words 2")


@pytest.mark.usefixtures("first")
def test_a_run_by_the_first_version_of_a_plugin_is_used_with_the_second(tmp_path, capsys):
    run = make_run(tmp_path / "run", make_spec("sampling.sampler={type: words.paced, percent: 90}"))
    before = Run.open(run, device="cpu").sample(labels=[3], seed=1)
    upgrade()
    opened = Run.open(run, device="cpu")
    assert opened.spec.sampling.sampler == Second.Params(pace=0.9)
    assert torch.equal(opened.sample(labels=[3], seed=1), before)
    assert capsys.readouterr().err == ""
    changed = opened.prepare(labels=[3], sampler={"type": "words.paced", "speed": 0.5}).sampling
    assert changed.sampler == Second.Params(pace=0.5)


@pytest.mark.usefixtures("first")
def test_a_value_that_no_version_knew_is_one_line():
    upgrade()
    with pytest.raises(SpecError, match=r"sampling\.sampler\.percent: cannot be the text 'all'"):
        make_spec("sampling.sampler={type: words.paced, percent: all}")


@pytest.mark.parametrize(("block", "now"), [
    ("{type: dit, context_dim: 10}", "text_dim"),
    ("{type: hourglass, context_dim: 10}", "text_dim"),
    ("{type: hourglass, channels: [32]}", "level_channels"),
])  # fmt: skip
def test_settings_that_had_the_names_of_wiring_are_still_read(block: str, now: str) -> None:
    spec = reading.validate(
        ExperimentSpec,
        parse(f"name: a\nimage: {{size: 32}}\ndata: digits\ncascade: {{stages: 2, patch: 4}}\nbackbone: {block}", "it"),
    )
    assert getattr(spec.backbone, now) in (10, (32,))
