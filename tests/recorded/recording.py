"""What short trainings and drawings give: losses, weights, images. A change that leaves numbers alone shows it here.

    python -m tests.recorded.recording check [NAME ...]   # every hash, bit for bit: on the machine that wrote them
    python -m tests.recorded.recording write              # after a change that is meant to alter numbers

The suite compares the values with a tolerance, since other machines round otherwise (``test_recorded.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import pixelflow
from pixelflow.official.exchange import import_release
from tests import processes

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("values.json")
QUICK = ("training.log_every=1", "training.sample_every=null", "training.save_every=100", "training.workers=0")

HOURGLASS = (
    "backbone={type: hourglass, depth: 2, heads: 2, head_dim: 16, level_channels: [16], blocks: 1}", "image.size=16",
    "cascade={stages: 2, patch: [2, 4], up: bilinear}", "objective={prediction: clean, times: logit_normal}",
    "training.grad_accumulation=2", "training.activation_checkpointing=true", "training.batch_size=12",
    "training.weight_decay=0.1",
)  # fmt: skip
TRAININGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "digits": ("digits", ("training.steps=4", "training.batch_size=32")),
    "cifar10": ("cifar10", ("training.steps=3", "training.batch_size=12", "training.warmup=2", "backbone.depth=3")),
    "shapes_t2i": ("shapes_t2i", ("training.steps=3", "training.batch_size=12", "training.warmup=2")),
    "hourglass": ("digits", ("training.steps=3", *HOURGLASS)),
    "two_processes": ("digits", ("training.steps=3", "training.batch_size=16", "training.grad_accumulation=2")),
}
"""Name -> spec and overrides."""


def train(name: str, folder: Path) -> Path:
    """Train it by the command line; returns the run's folder."""
    spec, overrides = TRAININGS[name]
    if spec == "cifar10":
        overrides = (*overrides, f"data.root={pictures(folder / 'pictures')}")
    command = ["-m", "pixelflow", "train", str(ROOT / f"specs/{spec}.yaml"), *QUICK, *overrides]
    command += ["--out", str(folder), "--run", name, "--device", "cpu"]
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"} for rank in range(2)]
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    own = {"OMP_NUM_THREADS": "1", "PIXELFLOW_DISABLE_PLUGINS": "1"}
    settings = [port | rank for rank in ranks] if name == "two_processes" else [{}]
    started = [processes.start(*command, env=os.environ | own | one) for one in settings]
    codes = [process.wait() for process in started]
    assert not any(codes), [process.said for process in started]
    return folder / name


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def pictures(folder: Path) -> Path:
    """Two classes of coloured gradients."""
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for index in range(8):
            coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(folder / label / f"{index}.png")
    return folder


def of_training(name: str, folder: Path) -> dict[str, Any]:
    """Losses by step, weights and four images of a training."""
    run = train(name, folder)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (checkpoint,) = (run / "checkpoints").glob("step-*")
    told: dict[str, Any] = {
        "loss": [line["loss"] for line in lines],
        "loss_by_stage": [line["loss_by_stage"] for line in lines],
        "gradient_norm": [line["gradient_norm"] for line in lines],
    }
    for part in ("model", "ema", "optimizer"):
        told |= summary(part, load_file(checkpoint / f"{part}.safetensors"))
    opened = pixelflow.load(run, device="cpu")
    asked: dict[str, Any] = {"labels": [1, 0, 1, 0]}
    if name == "shapes_t2i":
        asked = {"prompts": ["a red circle", "two blue squares above a green triangle", "", "a yellow star"]}
    return told | summary("images", {"": opened.sample(**asked, seed=5, steps=2, guidance=1.5)})


def of_release(name: str, folder: Path) -> dict[str, Any]:
    """Images and velocities of imported weights of the release."""
    with np.load(ROOT / f"tests/golden/official_{name}_4stage.npz") as file:
        values = dict(file)
    published = folder / f"published-{name}"
    published.mkdir()
    config = json.loads(str(values["config"]))
    scheduler = {key: config[key] for key in ("num_train_timesteps", "num_stages", "gamma")}
    text = yaml.safe_dump({"model": {"params": config["model"]}, "scheduler": scheduler})
    (published / "config.yaml").write_text(text)
    state = {key.removeprefix("weights/"): values[key] for key in values if key.startswith("weights/")}
    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, published / "model.pt")
    import_release(published, folder / name)
    run = pixelflow.load(folder / name, device="cpu")
    x, time, text_or_label = (torch.from_numpy(values[f"forward/2/{key}"]) for key in ("x", "t", _READS[name]))
    if name == "c2i":
        images = run.sample(labels=[1, 2], seed=3, size=64, steps=2, guidance=2.0)
        known = text_or_label < len(run.labels)  # some are recorded without a class
        velocity = run.velocity(x[known], time[known], labels=text_or_label[known])
    else:
        mask = torch.from_numpy(values["forward/2/mask"])
        images = run.sample(
            text=text_or_label, mask=mask, uncond_text=text_or_label * 0, seed=3, size=64, steps=2, guidance=2.0
        )
        velocity = run.velocity(x, time, text=text_or_label, mask=mask)
    return summary("images", {"": images}) | summary("velocity", {"": velocity})


_READS = {"c2i": "y", "t2i": "text"}


def summary(what: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The hash of named tensors, and their mean size and first numbers for machines that round otherwise."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().contiguous().numpy().tobytes())
    size = torch.stack([tensor.double().abs().mean() for tensor in tensors.values()]).mean()
    return {f"{what}_sha256": digest.hexdigest(), f"{what}_size": float(size)}


def record(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What these trainings and weights of the release give; of all where none is named."""
    for name in TRAININGS:
        if not names or name in names:
            yield name, of_training(name, folder)
    for name in _READS:
        if not names or name in names:
            yield f"official_{name}", of_release(name, folder)


def main(what: str, *names: str) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = dict(record(Path(folder), names))
    if what == "write":
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        return
    kept = {name: told for name, told in json.loads(FILE.read_text()).items() if name in found}
    wrong = [f"{name}: {key}" for name, told in kept.items() for key in told if found[name][key] != told[key]]
    print("\n".join(wrong) or f"all {sum(map(len, kept.values()))} values are as recorded, bit for bit")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
