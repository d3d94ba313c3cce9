"""Two processes that train one run together, over gloo on the CPU, as torchrun starts them."""

import os
import re
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.distributed.run
from PIL import Image
from torch import nn

from pixelflow.cli.app import main
from pixelflow.core.assembly import build_dataset
from pixelflow.generation.run import Run
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import stored
from pixelflow.system.distributed import joined
from pixelflow.system.engines import engine_for
from pixelflow.system.errors import UsageError
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import StopSignals
from pixelflow.training.loader import batches
from pixelflow.training.objective import Deal, WorkMaker
from pixelflow.training.session import train
from pixelflow.training.state import TrainState
from tests import processes
from tests.conftest import TINY, make_spec
from tests.training.conftest import lines_of

PARTS = ("model", "ema", "optimizer")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(tmp_path, name: str, *overrides: str) -> list[processes.Process]:
    """Both ranks of ``torchrun --nproc-per-node 2 -m pixelflow -- train``."""
    spec = tmp_path / "tiny.yaml"
    spec.write_text(TINY)
    command = ["-m", "pixelflow", "train", str(spec), *overrides, "--out", str(tmp_path)]
    port = free_port()
    return [
        processes.start(
            *command, "--run", name, "--device", "cpu",
            env=os.environ | {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
                              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        )
        for rank in range(2)
    ]  # fmt: skip


def ended(started: list[processes.Process]) -> list[tuple[int, str]]:
    return [(process.wait(), process.said) for process in started]


@pytest.mark.slow
def test_two_processes_train_stop_together_and_resume_bitwise(tmp_path):
    options = ("training.steps=120", "training.save_every=50", "image.size=8")
    whole = ended(start(tmp_path, "whole", *options))
    assert [code for code, _ in whole] == [0, 0], whole
    pair = start(tmp_path, "parts", *options)
    pair[0].wait_for("step 5/")
    pair[1].send_signal(signal.SIGTERM)  # to one of them only
    assert [code for code, _ in ended(pair)] == [75, 75]
    (stopped,) = checkpoint.steps(tmp_path / "parts" / "checkpoints")
    assert 5 <= stopped < 120
    (first, said), (second, silence) = ended(start(tmp_path, "parts", *options))
    assert (first, second) == (0, 0), said + silence
    assert f"continuing after step {stopped}" in said
    assert "step" not in silence
    a, b = (checkpoint.load(tmp_path / name / "checkpoints", parts=PARTS).tensors for name in ("whole", "parts"))
    assert all(torch.equal(a[part][name], b[part][name]) for part in PARTS for name in a[part])
    assert lines_of(tmp_path / "whole") == lines_of(tmp_path / "parts")


MIXED = (
    "image={size: 16, channels: 3, max_aspect: 2}", "data={type: shapes, count: 40}", "training.steps=4",
    "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 64}]", "training.batch_size=8",
    "training.sample_every=4", "training.samples=3", "training.held_out={fraction: 0.25, every: 4}",
    "evaluation={every: 4, images: 6}", "sampling.batch_size=2", "training.power_ema={every: 2}",
)  # fmt: skip


def train_one(rank: int, size: int, port: int, folder: Path, *overrides: str) -> None:
    """What a process that torchrun started does."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank % 2), "LOCAL_WORLD_SIZE": "2",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    with joined("cpu") as parallel, StopSignals() as signals:
        train(make_spec(*overrides), folder, parallel, signals)


def train_twice(rank: int, port: int, folder: Path) -> None:
    """Two trainings of one script."""
    for name in ("a", "b"):
        train_one(rank, 2, port, folder / name, "training.steps=2")
        assert dist.is_initialized(), "to destroy a group can wait for ever"


def test_a_script_trains_one_after_the_other(tmp_path):
    port = free_port()
    assert processes.forked(train_twice, [(rank, port, tmp_path) for rank in range(2)]) == [0, 0]
    a, b = (checkpoint.load(tmp_path / name / "checkpoints", parts=PARTS).tensors for name in ("a", "b"))
    assert all(torch.equal(a[part][name], b[part][name]) for part in PARTS for name in a[part])


def train_together(size: int, folder: Path, *overrides: str) -> RunFolder:
    """Train with `size` processes, two on a machine as they are told; returns the run."""
    port = free_port()
    assert processes.forked(train_one, [(rank, size, port, folder, *overrides) for rank in range(size)]) == [0] * size
    return RunFolder(folder)


def assert_alike(found: object, expected: object) -> None:
    """Equal up to rounding, at every depth."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    else:
        assert found == (pytest.approx(expected, rel=1e-3, abs=1e-5) if isinstance(expected, float) else expected)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The training of `MIXED` by one process."""
    return train_together(1, tmp_path_factory.mktemp("alone") / "run", *MIXED)


@pytest.mark.parametrize(
    ("mode", "size", "accumulation"),
    [
        ("ddp", 2, 2),
        ("fsdp", 2, 2),
        *(pytest.param(*own, marks=pytest.mark.slow) for own in (("ddp", 2, 1), ("ddp", 4, 1), ("ddp", 4, 2))),
        *(pytest.param(*own, marks=pytest.mark.slow) for own in (("fsdp", 2, 1), ("fsdp", 4, 1), ("fsdp", 4, 2))),
        *(pytest.param(*own, marks=pytest.mark.slow) for own in (("hybrid", 4, 1), ("hybrid", 4, 2))),
    ],
)
def test_any_number_of_processes_trains_alike(tmp_path, alone, mode, size, accumulation):
    """Losses, weights, held-out loss, evaluation and pictures, with several sizes of images in a batch."""
    own = (f"training.parallel={mode}", f"training.grad_accumulation={accumulation}")
    run = train_together(size, tmp_path / "run", *MIXED, *own)
    assert_alike(lines_of(run), lines_of(alone))
    assert any("held_out" in line for line in lines_of(alone))
    assert any("evaluation" in line for line in lines_of(alone))
    a, b = (checkpoint.load(one.checkpoints, parts=PARTS).tensors for one in (run, alone))
    begun = TrainState.begin(make_spec(*MIXED), Parallel(torch.device("cpu")), tmp_path / "none").model.state_dict()
    assert any((a["model"][name] - begun[name]).abs().max() > 1e-3 for name in begun)
    for part in PARTS:
        for name, tensor in b[part].items():
            torch.testing.assert_close(a[part][name], tensor, rtol=1e-3, atol=2e-5)
    for weights in ("ema", "0.1"):
        ours, theirs = (stored(one, 4, weights).tensors for one in (run, alone))
        assert all(torch.allclose(ours[name], tensor, rtol=1e-3, atol=2e-5) for name, tensor in theirs.items())
    images = [Run.open(one.path).sample(prompts="a red circle", seed=1) for one in (run, alone)]
    torch.testing.assert_close(*images, rtol=0, atol=1e-2)
    drawn = sorted(file.name for file in alone.samples.glob("*.png"))
    assert drawn == sorted(file.name for file in run.samples.glob("*.png"))
    for name in drawn:
        ours, theirs = (np.asarray(Image.open(one.samples / name), np.float32) for one in (run, alone))
        assert np.abs(ours - theirs).max() <= 3, name


def test_what_an_objective_draws_is_an_images_own(tmp_path):
    """In whichever process and part of a step it is."""
    spec = make_spec("training.batch_size=8")
    model, data = TrainState.begin(spec, Parallel(torch.device("cpu")), tmp_path).model, build_dataset(spec)
    drawn = []
    for size, parts in ((1, 1), (1, 2), (2, 1), (4, 2)):
        of_image = {}
        for rank in range(size):
            make = WorkMaker(model, spec, Parallel(torch.device("cpu"), rank, size))
            mine = make.deal(0, 8)[1].tolist()
            share = {0: mine}.__getitem__
            batch = next(batches(data, batch_size=8, seed=3, workers=0, first_step=0, bad_images=0, share=share))
            work = make(batch, 0)
            for part in work.parts(parts):
                numbers = part.drawn("more", lambda count, generator: torch.rand(count, 2, generator=generator))
                for group, own in zip(part.groups, numbers, strict=True):
                    for member, row in zip(group.members.tolist(), own.tolist(), strict=True):
                        of_image[mine[member]] = row
        drawn.append(of_image)
    assert sorted(drawn[0]) == list(range(8))
    assert len({tuple(row) for row in drawn[0].values()}) == 8
    assert all(one == drawn[0] for one in drawn)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_every_process_has_an_even_share_of_every_stage(size):
    """So that none waits for one that has more of the finest stage, which is most of the work."""
    spec = make_spec("image.size=32", "cascade={stages: 4, patch: 2}", "objective.stage_mix=[1, 1, 1, 0.5]")
    deals = [Deal(spec, Parallel(torch.device("cpu"), rank, size)) for rank in range(size)]
    for step in range(20):
        (stages, *others), shares = zip(*(deal(step, 64) for deal in deals), strict=True)
        assert all(torch.equal(stages, other) for other in others)
        assert torch.equal(torch.cat(shares).sort().values, torch.arange(64)), "each image once"
        for stage in range(4):
            counts = [int((stages[own] == stage).sum()) for own in shares]
            assert max(counts) - min(counts) <= 1


def test_torchrun_hands_on_what_the_help_says(capsys):
    """Its parser refuses options that begin like its own, unless they stand behind ``--``."""
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    (command,) = re.findall(r"torchrun (.* SPEC)", capsys.readouterr().out)
    own = [*command.split(), "--run", "NAME", "--out", "DIR"]
    handed = torch.distributed.run.get_args_parser().parse_args(own).training_script_args
    assert [word for word in handed if word != "--"] == ["train", "SPEC", "--run", "NAME", "--out", "DIR"]


def test_the_command_line_takes_a_dash_dash(tiny_file, tmp_path):
    """Which torchrun leaves in place."""
    with pytest.raises(SystemExit) as stopped:
        main(["--", "train", str(tiny_file), "training.steps=1", "--run", "other", "--out", str(tmp_path)])
    assert not stopped.value.code
    assert (tmp_path / "other" / "checkpoints").is_dir()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    parallel = Parallel(torch.device("cpu"), rank=0, size=3)
    with pytest.raises(UsageError, match="batch_size 8 is not a multiple of 3"):
        train(make_spec(), tmp_path / "run", parallel, StopSignals())


def test_alone_nothing_is_exchanged():
    parallel = Parallel(torch.device("cpu"))
    layer = torch.nn.Linear(2, 2)
    assert engine_for(parallel, "fsdp").wrap(layer, [], layer) is layer
    assert parallel.any(True)
    assert not parallel.any(False)


class Halves(torch.nn.Module):
    """Four weights: which of them a part of a step uses is told from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(torch.ones(3) for _ in range(4))

    def forward(self, used: list[int]) -> list[torch.Tensor]:
        return [torch.stack([(self.weights[index] * (index + 1)).sum() for index in used])]


USED = {0: [[0, 1], [0]], 1: [[0], [0, 2]]}
"""Process -> the weights that the two parts of its step use; nobody uses the last."""


def average_gradients_of_one(rank: int, port: int, folder: Path, mode: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    with joined("cpu") as parallel:
        module, engine = Halves(), engine_for(parallel, mode)
        wrapped = engine.wrap(module, [], nn.Linear(3, 3))
        for _ in range(2):
            module.zero_grad()
            for index, used in enumerate(USED[rank]):
                with engine.part(wrapped, index, 2):
                    torch.cat(wrapped(used)).sum().backward()
        found = [None if one.grad is None else engine.whole(one.grad).clone() for one in module.weights]
        torch.save(found, folder / f"{rank}.pt")


@pytest.mark.parametrize("mode", ["ddp", "fsdp", "hybrid"])
def test_a_parameter_has_a_gradient_where_any_process_has_one_and_else_none(tmp_path, mode):
    """Also where only an earlier part of the step, in one process, used it."""
    port = free_port()
    assert processes.forked(average_gradients_of_one, [(rank, port, tmp_path, mode) for rank in range(2)]) == [0, 0]
    for rank in range(2):
        first, second, third, last = torch.load(tmp_path / f"{rank}.pt")
        assert last is None
        assert (first[0], second[0], third[0]) == (2, 1, 1.5)


CHAIN = (("hybrid", 4), ("ddp", 2), ("fsdp", 2), ("fsdp", 1), ("fsdp", 4), ("ddp", 1))


@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_processes_and_in_any_mode(tmp_path):
    whole = train_together(1, tmp_path / "whole", f"training.steps={len(CHAIN)}")
    for done, (mode, size) in enumerate(CHAIN):
        run = train_together(size, tmp_path / "run", f"training.steps={done + 1}", f"training.parallel={mode}")
    assert_alike(lines_of(run), lines_of(whole))
    a, b = (checkpoint.load(one.checkpoints, parts=PARTS).tensors for one in (run, whole))
    for part in PARTS:
        assert a[part].keys() == b[part].keys()
        for name, tensor in b[part].items():
            torch.testing.assert_close(a[part][name], tensor, rtol=1e-3, atol=2e-5)


ROUNDED, HALVES = 1e-4, 0.03
"""How far shards may be from one process, as a share of all that training changed.

In float32 two processes add what one adds that takes the batch in two parts, so that at most the last bit of a sum
differs. In bfloat16 shards cast a parameter once and one process casts it in every layer, so that gradients may differ
by a rounding, 2^-9, and Adam's first steps, which go by the sign of a gradient, turn where it is about 0.
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (("training.precision=bfloat16",), HALVES),
        (("training.optimizer=muon", "training.weight_decay=0.1"), ROUNDED),
        (("training.optimizer=muon", "backbone={type: hourglass, depth: 2, heads: 2, head_dim: 16, "
          "level_channels: [16]}"), ROUNDED),
        (("training.compile=true", "training.activation_checkpointing=true"), ROUNDED),
        (("training.activation_checkpointing=true",), ROUNDED),
        (("backbone={type: hourglass, depth: 2, heads: 2, head_dim: 16, level_channels: [16]}",), ROUNDED),
        (("training.batch_size=2", "image.size=32", "training.weight_decay=0.1", "training.steps=8"), ROUNDED),
    ],
)  # fmt: skip
def test_shards_train_like_one_process_whatever_is_trained(tmp_path, options, tolerance):
    """With batches of two images at three stages, each process lacks parameters that the other uses."""
    one = train_together(1, tmp_path / "one", *options, "training.grad_accumulation=2")
    two = train_together(2, tmp_path / "two", *options, "training.parallel=fsdp")
    a, b = (checkpoint.load(run.checkpoints, parts=("model",)).tensors["model"] for run in (two, one))
    begun = TrainState.begin(make_spec(*options), Parallel(torch.device("cpu")), tmp_path / "none").model.state_dict()
    apart, moved = (torch.cat([(own[name] - of[name]).flatten() for name in b]) for own, of in ((a, b), (b, begun)))
    assert apart.norm() <= tolerance * moved.norm()
    assert moved.abs().max() > 1e-3


@pytest.mark.slow
def test_shards_start_from_another_run(tmp_path):
    """Whose weights are whole, as those are that previews draw with."""
    source = train_together(2, tmp_path / "source", "training.parallel=fsdp")
    options = (f"training.init_from={source.path}", "backbone.depth=3", "training.steps=1")
    one = train_together(1, tmp_path / "one", *options)
    two = train_together(2, tmp_path / "two", *options, "training.parallel=fsdp")
    a, b = (checkpoint.load(run.checkpoints, parts=("model",)).tensors["model"] for run in (two, one))
    for name, tensor in b.items():
        torch.testing.assert_close(a[name], tensor, rtol=0, atol=2e-5)
