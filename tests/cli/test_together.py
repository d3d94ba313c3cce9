"""Commands that several processes carry out together, as torchrun starts them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelflow.core.reading import dump
from tests import processes
from tests.conftest import make_run, make_spec
from tests.tiny_encoders import make_t5
from tests.training.test_distributed import free_port

OPTIONS = ("sampling.batch_size=2", "sampling.steps=2", "evaluation.images=6", "evaluation.metrics=[frechet]")


def start(size: int, *arguments: str, code: str = "") -> list[processes.Process]:
    """The processes of ``torchrun --nproc-per-node SIZE -m pixelflow -- ARGUMENTS``."""
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(size)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
    run = f"{code}\nfrom pixelflow.cli.app import main\nmain()"
    return [processes.start("-c", run, *arguments, "--device", "cpu", env=os.environ | port | own) for own in ranks]


def told(size: int, *arguments: str) -> list[str]:
    """What each process says on standard output; all have to end well."""
    started = start(size, *arguments)
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * size, said
    return [out for out, _ in said]


def numbered(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("0*.png"))}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", make_spec(*OPTIONS))


def sample(size: int, run: Path, out: Path, *more: str) -> Sequence[str]:
    return told(size, "sample", str(run), "--count", "5", "--out", str(out), *more)


def test_two_processes_draw_the_images_of_one(run, tmp_path):
    """Byte for byte; one of them has no batch left in the last round."""
    sample(1, run, tmp_path / "one")
    first, second = sample(2, run, tmp_path / "two")
    assert "5 images in" in first
    assert second == ""
    assert len(numbered(tmp_path / "one")) == 5
    assert numbered(tmp_path / "one") == numbered(tmp_path / "two")
    again, silence = sample(2, run, tmp_path / "two")
    assert "drawn before" in again
    assert silence == ""


def test_two_processes_write_the_npz_of_one(run, tmp_path):
    for size, name in ((1, "one"), (2, "two")):
        sample(size, run, tmp_path / name, "--npz", str(tmp_path / f"{name}.npz"))
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert one.files == two.files
        assert all(np.array_equal(one[key], two[key]) for key in one.files)


def test_two_processes_measure_what_one_does(run, tmp_path):
    """Of the same run, from images and features of their own."""
    found = []
    for size in (1, 2):
        folder = tmp_path / f"evaluation-{size}"
        outs = told(size, "eval", str(run), "--out", str(folder), "--save-statistics", str(tmp_path / f"{size}.npz"))
        assert all(out == "" for out in outs[1:])
        assert "statistics of random_conv" in outs[0]
        (record,) = folder.glob("*.json")
        found.append([result["values"] for result in json.loads(record.read_text())["results"]])
    assert found[0] == found[1]


def test_two_processes_export_what_one_does(tmp_path):
    """The other one draws too; what is there already is not drawn again."""
    text = make_spec("conditioners=[{type: bytes, dim: 16}]", "sampling.batch_size=2", "sampling.steps=2")
    run, prompts = make_run(tmp_path / "text", text), tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "{word} cat", "tag": "x"}}\n' for word in ("a", "the", "no")))
    found = []
    for size in (1, 2):
        command = ("export", "geneval", str(run), "--prompts", str(prompts), "--out", str(tmp_path / f"out-{size}"))
        outs = told(size, *command)
        assert outs[0].startswith("3 prompts, 4 images each")
        assert outs[1:] == [""] * (size - 1)
        found.append(contents(tmp_path / f"out-{size}"))
    assert len([name for name in found[0] if name.endswith(".png")]) == 12
    assert found[0] == found[1]
    (tmp_path / "out-2" / "images" / "00001" / "samples" / "0002.png").unlink()
    told(2, *command)
    assert contents(tmp_path / "out-2") == found[0]
    assert told(2, *command)[0].startswith("3 prompts")


def test_two_processes_fill_the_cache_of_one(tmp_path):
    make_t5(tmp_path / "t5")
    (tmp_path / "pictures").mkdir()
    for index in range(70):  # three batches, of which two processes do two at a time
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / f"{index}.png")
        (tmp_path / "pictures" / f"{index}.txt").write_text(f"a photo of {index} dogs")
    found = []
    for size in (1, 2):
        encoder = f"type: t5, model: {tmp_path / 't5'}, max_tokens: 4, cache: {tmp_path / f'cache-{size}'}"
        data = f"type: captioned_folder, root: {tmp_path / 'pictures'}"
        spec = make_spec("image.channels=3", f"data={{{data}}}", f"conditioners=[{{{encoder}}}]")
        (tmp_path / "text.yaml").write_text(dump(spec))
        outs = told(size, "cache-text", str(tmp_path / "text.yaml"))
        assert "71 captions (71 new) of 70 elements; 70 of the new were too long and cut" in outs[0]
        assert outs[1:] == [""] * (size - 1)
        found.append(contents(tmp_path / f"cache-{size}"))
    assert found[0] == found[1]
    assert "71 captions (0 new)" in told(2, "cache-text", str(tmp_path / "text.yaml"))[0]


def test_a_dead_process_ends_the_others_with_a_line(run, tmp_path):
    dies = """
import os, signal
from pixelflow.generation import draw
if os.environ["RANK"] == "1":
    draw._draw_part = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
"""
    first, second = start(2, "sample", str(run), "--count", "4", "--out", str(tmp_path / "out"), code=dies)
    assert second.wait(60) == -signal.SIGKILL
    _, said = first.communicate(timeout=60)
    (line,) = [line for line in said.splitlines() if line.startswith("pixelflow:")]
    assert first.returncode == 74
    assert "process 1 of those that work together is gone" in line
    assert "the same command continues" in line
