"""The script for a lent GPU runs on a CPU too, so that its minutes there are not lost to a slip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import processes

SCRIPT = Path(__file__).parents[1] / "benchmarks/gpu.py"
AS_SCRIPT = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


def table(folder: Path, *arguments: str) -> dict[str, str]:
    """What was measured, by its name."""
    done = processes.run("-c", AS_SCRIPT, str(SCRIPT), "--tiny", "--out", str(folder), *arguments)
    assert done.returncode == 0, done.stderr
    return {row["what"]: row["value"] for row in json.loads((folder / "gpu.json").read_text())["rows"]}


def test_parity_and_loading_succeed(tmp_path):
    rows = table(tmp_path, "--parts", "parity,loading,choosing")
    failed = {what: value for what, value in rows.items() if value.startswith("FAILED")}
    assert not failed
    assert float(rows["release c2i, forward, float32"].split()[0]) < 1e-5
    assert float(rows["release t2i, forward, bfloat16"].split()[0]) < 0.05
    assert any(what.endswith("0 workers") for what in rows)
    assert rows["taken"] == "grouped"


@pytest.mark.slow
def test_every_part_succeeds(tmp_path):
    rows = table(tmp_path)
    failed = {what: value for what, value in rows.items() if value.startswith("FAILED")}
    assert not failed
    assert any(what.startswith("compiled, kernel grouped") for what in rows)
    for wrap in ("ddp", "fsdp"):
        assert float(rows[f"{wrap}, losses beside none"].split()[0]) < 1e-4
        assert float(rows[f"{wrap}, goes on from its checkpoint"].split()[0]) == 0
        assert float(rows[f"{wrap}, goes on from a checkpoint of none"].split()[0]) < 1e-4
    assert float(rows["frechet, random_conv: distance"]) > 0
    assert {"class-model.png", "class-model.safetensors"} <= {file.name for file in tmp_path.iterdir()}
