"""``pixelflow bench``, on a real run folder."""

from __future__ import annotations

import json

import pytest

from pixelflow.cli.app import main
from tests.conftest import make_run, make_spec


def bench(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["bench", *map(str, arguments)])
    return int(caught.value.code or 0)


def test_figures_are_shown_and_written(tmp_path, capsys):
    run, out = make_run(tmp_path / "run", make_spec()), tmp_path / "bench.json"
    assert bench(run, "steps=[1,2]", "--batches", "1,3", "--out", out) == 0
    shown, body = capsys.readouterr().out, json.loads(out.read_text())
    assert [one["batch_size"] for one in body["sampling"]] == [1, 3]
    assert [stage["nfe"] for stage in body["sampling"][0]["stages"]] == [2, 4]
    assert f"{body['sampling'][1]['seconds']:.4g}" in shown
    assert f"{body['training']['images_per_second']:.4g} images/s" in shown
    assert body["run"]["step"] == 7
    assert set(body["peak_flops"]) == {"float32"}


@pytest.mark.parametrize("batches", ["0", "1,x", ""])
def test_batch_sizes_are_numbers(tmp_path, capsys, batches):
    assert bench(make_run(tmp_path / "run", make_spec()), "--batches", batches) == 2
    assert "give whole numbers" in capsys.readouterr().err
