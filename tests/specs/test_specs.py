"""Every spec of the repository is valid, and those of the paper are the paper's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from pixelflow.core import reading
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.training_settings import InitSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.training import initial

SPECS = Path(__file__).parents[2] / "specs"
FILES = [file for folder in ("", "chain", "paper", "recipe") for file in sorted((SPECS / folder).glob("*.yaml"))]


def spec_of(path: Path) -> ExperimentSpec:
    return reading.validate(ExperimentSpec, reading.read_document(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_spec_is_valid_and_bears_its_files_name(path: Path) -> None:
    assert spec_of(path).name == path.stem


STAGES = {
    "imagenet64_patch2_kickoff2": 5,
    "imagenet64_patch2_kickoff8": 3,
    "imagenet64_patch2_kickoff32": 1,
    "imagenet64_patch4_kickoff2": 4,
    "imagenet256_patch2_kickoff2": 7,
    "imagenet256_patch4_kickoff2": 6,
    "imagenet256_patch8_kickoff2": 5,
    "imagenet256_patch4_kickoff8": 4,
    "t2i_256": 4,
    "t2i_512": 5,
    "t2i_1024": 6,
}


@pytest.mark.parametrize("name", STAGES)
def test_the_papers_settings(name: str) -> None:
    spec = spec_of(SPECS / "paper" / f"{name}.yaml")
    assert spec.stages == STAGES[name]
    training = spec.training
    assert (training.learning_rate, training.lr_schedule, training.weight_decay) == (1e-4, "constant", 0)
    assert (training.max_grad_norm, training.ema, training.precision) == (1.0, 0.9999, "bfloat16")
    assert spec.backbone.model_dump()["depth"] == 28


CHAINS = [
    ("paper", ["imagenet256_patch4_kickoff8", "t2i_256", "t2i_512", "t2i_1024"]),
    ("chain", ["chain_16", "chain_32", "chain_64"]),
]


@pytest.mark.parametrize(("folder", "names"), CHAINS)
def test_each_step_of_a_chain_starts_from_the_one_before_and_can(folder: str, names: list[str], tmp_path: Path) -> None:
    specs = [spec_of(SPECS / folder / f"{name}.yaml") for name in names]
    assert specs[0].training.init_from is None
    for former, spec in pairwise(specs):
        assert spec.training.init_from is not None
        assert spec.training.init_from.run == Path("runs") / former.name
        run = RunFolder.create(tmp_path / former.name, former, [])
        checkpoint.save(run.checkpoints, 0, {}, {}, keep=1)
        training = spec.training.model_copy(update={"init_from": InitSpec(run=run.path)})
        initial.check(spec.model_copy(update={"training": training}))


def test_the_best_sampling_setting() -> None:
    sampling = spec_of(SPECS / "paper" / "imagenet256_patch4_kickoff8.yaml").sampling
    assert sampling.sampler.model_dump() == {"type": "dopri5", "rtol": 1e-3, "atol": 1e-6}
    assert sampling.guidance.model_dump()["type"] == "stagewise"
    assert sampling.guidance.model_dump()["scale"] == 2.4
    assert sampling.precision == "bfloat16"
