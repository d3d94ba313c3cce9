"""Two processes that train one run together, over gloo on the CPU, as torchrun starts them."""

import multiprocessing
import os
import re
import signal
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed.run

from pixelflow.cli.app import main
from pixelflow.core.assembly import build_dataset
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import UsageError
from pixelflow.training.distributed import joined
from pixelflow.training.loader import batches
from pixelflow.training.loop import Trainer
from pixelflow.training.objective import WorkMaker
from pixelflow.training.optimizer import clip_gradients
from pixelflow.training.parallel import Parallel
from pixelflow.training.session import train
from pixelflow.training.state import TrainState
from pixelflow.training.stopping import StopSignals
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
    "conditioners=[{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 64}]", "training.grad_accumulation=2",
)  # fmt: skip


def train_one_of_two(rank: int, port: int, folder: Path) -> None:
    """What a process that torchrun started does; its weights go into a file."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    with joined("cpu") as parallel, StopSignals() as signals:
        trainer = Trainer(RunFolder(folder), make_spec(*MIXED), build_dataset(make_spec(*MIXED)), parallel, signals)
        trainer.train()
        torch.save(trainer.state.model.state_dict(), folder / f"{rank}.pt")


def trained_by_hand(spec: ExperimentSpec, folder: Path) -> dict[str, torch.Tensor]:
    """The same in one process: the gradient of a step is the mean over both shares of its batch."""
    state, data = TrainState.begin(spec, torch.device("cpu"), folder), build_dataset(spec)
    settings = {"batch_size": 8, "seed": spec.seed, "workers": 0, "first_step": 0, "bad_images": 0}
    streams = [batches(data, **settings, share=slice(rank, None, 2)) for rank in range(2)]
    makers = [WorkMaker(state.model, spec, rank) for rank in range(2)]
    shapes = set()
    for step in range(spec.training.steps):
        shares = [next(stream) for stream in streams]
        shapes.add(tuple(tuple(group.images.shape for group in share.groups) for share in shares))
        for make, share in zip(makers, shares, strict=True):
            (torch.cat(state.objective(make(share, step))).sum() / 8).backward()
        clip_gradients(state.trained.values(), spec.training.max_grad_norm)
        state.optimizer.step()
        state.optimizer.zero_grad()
    assert any(one != other for one, other in shapes), "the processes are to have different sizes"
    return state.model.state_dict()


def test_two_processes_that_see_other_sizes_have_the_weights_of_one_that_sees_all(tmp_path):
    spec = make_spec(*MIXED)
    RunFolder.create(tmp_path / "run", spec, [])
    fork = multiprocessing.get_context("fork")
    port = free_port()
    pair = [fork.Process(target=train_one_of_two, args=(rank, port, tmp_path / "run")) for rank in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(120)
    assert [process.exitcode for process in pair] == [0, 0]
    first, second = (torch.load(tmp_path / "run" / f"{rank}.pt") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    begun = TrainState.begin(spec, torch.device("cpu"), tmp_path / "none").model.state_dict()
    for name, expected in trained_by_hand(spec, tmp_path / "none").items():
        torch.testing.assert_close(first[name], expected, rtol=0, atol=1e-5)
    assert any((first[name] - begun[name]).abs().max() > 1e-3 for name in begun)


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
    assert parallel.wrap(layer) is layer
    assert parallel.any(True)
    assert not parallel.any(False)


class Halves(torch.nn.Module):
    """Four weights: which of them a part of a step uses is told from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(torch.ones(3) for _ in range(4))

    def forward(self, used: list[int]) -> torch.Tensor:
        return torch.stack([(self.weights[index] * (index + 1)).sum() for index in used]).sum()


USED = {0: [[0, 1], [0]], 1: [[0], [0, 2]]}
"""Process -> the weights that the two parts of its step use; nobody uses the last."""


def average_gradients_of_one(rank: int, port: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    with joined("cpu") as parallel:
        module = Halves()
        wrapped = parallel.wrap(module)
        for _ in range(2):
            module.zero_grad()
            for index, used in enumerate(USED[rank]):
                with parallel.summing(wrapped, index, 2):
                    wrapped(used).backward()
        torch.save([None if one.grad is None else one.grad.clone() for one in module.weights], folder / f"{rank}.pt")


def test_a_parameter_has_a_gradient_where_any_process_has_one_and_else_none(tmp_path):
    """Also where only an earlier part of the step, in one process, used it."""
    fork, port = multiprocessing.get_context("fork"), free_port()
    pair = [fork.Process(target=average_gradients_of_one, args=(rank, port, tmp_path)) for rank in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(120)
    assert [process.exitcode for process in pair] == [0, 0]
    for rank in range(2):
        first, second, third, last = torch.load(tmp_path / f"{rank}.pt")
        assert last is None
        assert (first[0], second[0], third[0]) == (2, 1, 1.5)
