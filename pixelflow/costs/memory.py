"""What a training needs of each device's memory, by how several processes share it, and what it then takes.

One process a device. With `ddp` (arXiv 2006.15704) each holds the whole state, and its gradients all the time; with
`fsdp` (arXiv 2304.11277) its share of both, and whole blocks only while they compute; with `hybrid` the devices of one
machine share, and machines are replicas of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs.planning import FLOP_PER_MAC, Costs, Counting
from pixelflow.system.errors import UsageError

Mode = Literal["ddp", "fsdp", "hybrid"]
MODES: Sequence[Mode] = get_args(Mode)
USABLE = 0.92
"""Of a device's memory; the rest is for its context, NCCL's buffers and fragmentation."""
_FLOAT = 4
_MOMENTS = {"adamw": 2, "muon": 1}
"""Numbers that the optimizer keeps a parameter; Muon for the hidden matrices, which are nearly all."""
_READ_A_SECOND, _READ_PIXELS = 280, 500 * 375
"""JPEGs that a core reads, and their pixels (`python benchmarks/decoding.py`)."""
_KEPT_OF_IMAGES = 3
"""Tensors of an image's stage that a step keeps: state, velocity and clean image."""


@dataclass(frozen=True)
class Devices:
    """Devices that train together, and how they share the work."""

    mode: Mode
    count: int
    on_one_machine: int = 8

    @property
    def shards(self) -> int:
        """Devices over which one copy of the state is spread."""
        return {"ddp": 1, "fsdp": self.count, "hybrid": min(self.count, self.on_one_machine)}[self.mode]


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes on one device."""

    weights: float
    average: float
    optimizer: float
    gradients: float
    working: float
    """What the network computes with: 16-bit copies, blocks that are gathered, gradients on their way."""
    batch: float
    activations: float
    gradients_stay: bool
    """Whether gradients take their place during the forward pass too."""

    @property
    def state(self) -> float:
        """What training changes: weights, their average, the optimizer's numbers, gradients."""
        return self.weights + self.average + self.optimizer + self.gradients

    @property
    def peak(self) -> float:
        """The most at one time: when the backward pass begins, or when it ends."""
        state = self.weights + self.average + self.optimizer + self.batch
        computing = self.working + self.activations
        return state + (computing + self.gradients if self.gradients_stay else max(computing, self.gradients))


@dataclass(frozen=True)
class Fit:
    """A way to train on some devices, by the accumulation and checkpointing of `costs.spec`."""

    devices: Devices
    costs: Costs
    needed: DeviceMemory
    memory: float
    """Of a device, in bytes."""

    @property
    def is_one(self) -> bool:
        """Whether it fits."""
        return self.needed.peak <= USABLE * self.memory

    def seconds(self, speed: float) -> float:
        """Of the whole training, at so many FLOP/s a device; communication counts as hidden behind computation."""
        return self.costs.training_flop / self.devices.count / speed


def device_memory(costs: Costs, devices: Devices) -> DeviceMemory:
    """What a training of `costs.spec`, with its accumulation and checkpointing, needs of each device."""
    training, shards = costs.spec.training, devices.shards
    is_half = training.precision == "bfloat16"
    images = training.batch_size / devices.count
    channels = costs.spec.image.channels
    pixels = sum(stage.share * stage.height * stage.width for stage in costs.stages) * channels
    held = costs.trained / shards + (costs.parameters - costs.trained)
    return DeviceMemory(
        weights=_FLOAT * held,
        average=_FLOAT * held,
        optimizer=_FLOAT * _MOMENTS[training.optimizer] * costs.trained / shards,
        gradients=_FLOAT * costs.trained / shards,
        working=_working(costs, shards, is_half),
        batch=_FLOAT * _KEPT_OF_IMAGES * pixels * images,
        activations=costs.activation_bytes(math.ceil(images / training.grad_accumulation)),
        gradients_stay=(devices.mode == "ddp" and devices.count > 1) or training.grad_accumulation > 1,
    )


def _working(costs: Costs, shards: int, is_half: bool) -> float:
    """Without shards the 16-bit copies that autocast makes; with them what is gathered.

    That is all that lies outside of blocks, the block that computes and the next one beside the buffer it comes in, and
    the gradient of a whole block, which is reduced in float32.
    """
    size = 2 if is_half else _FLOAT
    if shards == 1:
        return size * costs.trained if is_half else 0.0
    block = max(costs.blocks, default=0)
    outside = costs.trained - sum(costs.blocks)
    return size * (outside + 3 * block) + (size + _FLOAT) * block


def fits(spec: ExperimentSpec, devices: Devices, memory: float) -> list[Fit]:
    """Without and with checkpointing, the fewest parts of a batch with which a training fits, else the most there are.

    Args:
        memory: of a device, in bytes.

    Raises:
        UsageError: the devices cannot share the batch evenly.
    """
    own, rest = divmod(spec.training.batch_size, devices.count)
    if rest:
        raise UsageError(
            f"training.batch_size {spec.training.batch_size} is not a multiple of {devices.count} devices; "
            "plan for another number of them, or another batch size"
        )
    counting, found = Counting(), list[Fit]()
    for again in (False, True):
        for parts in (parts for parts in range(1, own + 1) if own % parts == 0):
            changed = {"grad_accumulation": parts, "activation_checkpointing": again}
            own_costs = counting.costs(spec.model_copy(update={"training": spec.training.model_copy(update=changed)}))
            fit = Fit(devices, own_costs, device_memory(own_costs, devices), memory)
            if fit.is_one or parts == own:
                found.append(fit)
                break
    return found


def workers_for(costs: Costs, speed: float) -> tuple[float, int]:
    """Images a second that a device trains on at so many FLOP/s, and the `training.workers` that read them."""
    training = costs.spec.training
    rate = speed / (costs.training_flop / training.batch_size / training.steps)
    height, width = costs.spec.image.size
    larger = max(1.0, 1.125**2 * height * width / _READ_PIXELS)  # a picture that is no smaller than what is cut from it
    return rate, math.ceil(rate / (_READ_A_SECOND / larger))


def drawing_flop(costs: Costs, images: int) -> float:
    """Of so many finished images."""
    return FLOP_PER_MAC * costs.sample_macs * images
