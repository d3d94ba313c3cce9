"""The trackers on the real libraries, offline: a run that goes on, and what each library then has of it.

They are large (trackio brings gradio), so that ``make test`` does not install them:
``pip install 'pixelflow-toolkit[wandb,mlflow]'``, and trackio in an environment with pillow below 13.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY

pytestmark = pytest.mark.slow

TRAIN = """
import sys
from pixelflow.cli.app import main
main(["train", "tiny.yaml", "--run", "run", *sys.argv[1:]])
"""
SHORT = ("training.steps=2", "training.log_every=1", "training.sample_every=2", "training.samples=2")


def trained(folder: Path, library: str, tracker: str) -> Path:
    """A run of two steps, then two more in another process, told to one tracker."""
    pytest.importorskip(library, reason=f"{library} is not installed; tests/trackers/test_services.py says how")
    (folder / "tiny.yaml").write_text(TINY)
    environment = {**os.environ, "TRACKIO_DIR": str(folder / "trackio-data"), "WANDB_MODE": "offline"}
    for steps in (2, 4):
        changes = (*SHORT, f"training.steps={steps}", f"training.trackers=[{tracker}]")
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, *changes], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "goes on without it" not in done.stderr
    return folder / "runs" / "run"


def steps_of(run: Path) -> dict[int, float]:
    """Step -> loss, as the run itself keeps it."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = trained(tmp_path, "mlflow", "mlflow")
    from mlflow import MlflowClient

    client = MlflowClient((run / "mlflow/store").as_uri())
    (experiment,) = [one for one in client.search_experiments() if one.name == "pixelflow"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert {one.step: one.value for one in client.get_metric_history(found.info.run_id, "loss")} == steps_of(run)
    assert found.info.status == "FINISHED"
    names = [one.path for one in client.list_artifacts(found.info.run_id)]
    assert "spec.json" in names
    pictures = [one.path for one in client.list_artifacts(found.info.run_id, "images")]
    assert len([one for one in pictures if "samples" in one and one.endswith(".png")]) == 3


def test_wandb(tmp_path):
    run = trained(tmp_path, "wandb", "{type: wandb, mode: offline}")
    folders = sorted((run / "wandb/wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert len({folder.name.rpartition("-")[2] for folder in folders}) == 1, "it goes on under the same id"
    told = [entry for folder in folders for entry in _history(folder)]
    assert {one["step"]: one["loss"] for one in told if "loss" in one} == steps_of(run)
    assert {one["step"] for one in told if any(key.startswith("samples") for key in one)} == {0, 2, 4}
    assert [len(list((folder / "files/media/images").glob("samples*.png"))) for folder in folders] == [2, 1]


def _history(folder: Path) -> Iterator[dict[str, Any]]:
    """What was logged, from the file that ``wandb sync`` would send: records in blocks, as LevelDB's logs have them."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("run-*.wandb")
    content, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record, parts = Record.FromString(parts), b""
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            if items:
                yield items


def test_trackio(tmp_path):
    run = trained(tmp_path, "trackio", "trackio")
    data = tmp_path / "trackio-data"
    (database,) = data.glob("pixelflow*.db")
    with sqlite3.connect(database) as opened:
        rows = [(step, json.loads(line)) for step, line in opened.execute("select step, metrics from metrics")]
    assert {step: told["loss"] for step, told in rows if "loss" in told} == steps_of(run)
    assert len(list(data.rglob("*.png"))) == 6
