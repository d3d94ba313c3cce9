"""Progressive training, as `specs/chain` does it, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from pixelflow.core import reading
from pixelflow.core.spec import ExperimentSpec
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training.session import train
from tests.training.conftest import lines_of

SPECS = Path(__file__).parents[2] / "specs" / "chain"
SMALL = (
    "training.steps=1", "training.batch_size=3", "training.warmup=0", "training.sample_every=null",
    "backbone.depth=1", "conditioners.0.max_bytes=32",
)  # fmt: skip


def test_the_chain_runs_from_its_own_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("chain_16", "chain_32", "chain_64"):
        document = reading.read_document(SPECS / f"{name}.yaml")
        spec = reading.validate(ExperimentSpec, reading.override(document, SMALL))
        with StopSignals() as signals:
            run = train(spec, Path("runs") / name, Parallel(torch.device("cpu")), signals)
    record = json.loads(run.init_file.read_text())
    assert record["source"]["run"] == "runs/chain_32"
    assert record["new"] == record["left_out"] == {}
    assert record["taken"]


def test_the_next_resolution_starts_ahead_of_a_start_from_scratch(trained):
    former = trained("16", "cascade.stages=1", "training.steps=80", "training.learning_rate=3e-3")
    larger = ("image.size=32", "cascade.stages=2", "training.steps=10", "training.log_every=10")
    ahead = trained("32", *larger, f"training.init_from='{former.path}'")
    scratch = trained("scratch", *larger)
    assert lines_of(ahead)[-1]["loss"] < 0.8 * lines_of(scratch)[-1]["loss"]
