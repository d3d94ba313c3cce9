"""What must not be kept is not kept: weights that are not finite, and what a kill leaves half done."""

import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelflow.runs import checkpoint, tensor_files
from pixelflow.system.errors import NonFiniteError
from pixelflow.training.rates import LearningRates
from tests import processes
from tests.conftest import TINY
from tests.training.test_resume import PARTS, assert_same
from tests.training.test_workers import has_namespaces


def test_weights_that_one_step_spoils_are_not_saved(trained, tmp_path):
    """The loss of the first step is finite, and no other comes before the save."""
    with pytest.raises(NonFiniteError, match=r"is not finite after step 1; this is not saved and no checkpoint"):
        trained("run", "training.learning_rate=1e39", "training.save_every=1", "training.steps=1")
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == []


def test_the_last_finite_checkpoint_is_kept(trained, tmp_path, monkeypatch):
    options = ("training.keep=1", "training.save_every=2", "training.steps=6")
    whole = trained("whole", *options)
    original = LearningRates.at
    with monkeypatch.context() as patch:
        patch.setattr(LearningRates, "at", lambda self, step: 1e39 if step == 3 else original(self, step))
        with pytest.raises(NonFiniteError, match=r"after step 4; this is not saved and .* step 2 is kept"):
            trained("run", *options)
    found = checkpoint.load(tmp_path / "run" / "checkpoints", parts=PARTS)
    assert found.step == 2
    assert all(tensor.isfinite().all() for named in found.tensors.values() for tensor in named.values())
    assert_same(whole, trained("run", *options))


def test_a_spoilt_checkpoint_costs_time_and_nothing_else(trained, caplog):
    """As a former version wrote them."""
    options = ("training.save_every=2", "training.steps=6")
    whole, run = trained("whole", *options), trained("run", *options, "training.steps=4")
    folder = run.checkpoints / "step-00000004"
    weights = load_file(folder / "model.safetensors")
    weights["backbone.blocks.0.mlp.inner.weight"][0, 0] = torch.inf
    save_file(weights, folder / "model.safetensors")
    sums = {path.name: tensor_files.sha256(path) for path in folder.iterdir() if path.name != checkpoint.MANIFEST}
    (folder / checkpoint.MANIFEST).write_bytes(checkpoint._manifest(4, dict(sorted(sums.items())), 2))
    assert_same(whole, trained("run", *options))
    assert "step-00000004: is spoilt (model backbone.blocks.0.mlp.inner.weight is not finite)" in caplog.text


KILLED = """
import os
from pixelflow.system import files
original = files.write_through
def write_through(path, content):
    original(path, content)
    if WHEN in path.name:
        os.kill(os.getpid(), 9)
files.write_through = write_through
from pixelflow.cli.app import main
main()
"""


LATE = [pytest.param(name, marks=pytest.mark.slow) for name in ("environment.json", ".png", "evaluation.json")]


@pytest.mark.parametrize("when", ["spec.yaml", *LATE])
def test_what_a_kill_leaves_half_written_is_removed_by_the_next_start(tmp_path, when):
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "runs").mkdir()
    own = tmp_path / "runs" / f".tiny.{os.getpid()}.part"  # of a process that lives: it is at work
    own.mkdir()
    options = (
        "image.size=8", "training.steps=2", "training.sample_every=2", "training.samples=1", "sampling.steps=1",
        "evaluation={every: 2, images: 8, metrics: [{type: frechet, extractor: {type: pixels_pca, components: 2}}]}",
    )  # fmt: skip
    arguments = ["train", str(tmp_path / "tiny.yaml"), *options, "--out", str(tmp_path / "runs")]
    killed = processes.run("-c", KILLED.replace("WHEN", repr(when)), *arguments)
    assert killed.returncode == -signal.SIGKILL
    drafts = {path for path in tmp_path.rglob(".*.part") if path != own}
    assert drafts
    again = processes.run("-m", "pixelflow", *arguments)
    assert again.returncode == 0, again.stderr
    assert [path for path in tmp_path.rglob("*") if re.search("part|draft", path.name)] == [own]


FULL = """
mount -t tmpfs -o size={size}k tmpfs "$1" && shift
"$@" && exit 1
echo "exit code $?"
mount -o remount,size=20m tmpfs "$PLACE"
"$@" && find "$PLACE"
"""


@pytest.mark.slow
@pytest.mark.skipif(not has_namespaces(), reason="needs root, for a file system of its own")
@pytest.mark.parametrize("size", [4, 64, 160, 260])
def test_a_full_disk_leaves_nothing_that_the_next_start_does_not_remove(tmp_path, size):
    (tmp_path / "tiny.yaml").write_text(TINY)
    place = tmp_path / "disk"
    place.mkdir()
    train = [sys.executable, "-m", "pixelflow", "train", str(tmp_path / "tiny.yaml"), "--out", str(place)]
    options = ["training.sample_every=2", "training.samples=1", "sampling.steps=1", "backbone.depth=1"]
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", FULL.format(size=size), "sh", str(place), *train, *options],
        capture_output=True, text=True, env=os.environ | {"PLACE": str(place)},
    )  # fmt: skip
    assert "exit code 73" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
    assert "step-00000004/manifest.json" in done.stdout
    assert "Traceback" not in done.stderr
    assert not re.search(r"\.part|draft", done.stdout)
