"""One file that is a whole model: its weights as safetensors, with what they are of in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pixelflow.core import absent, reading
from pixelflow.core.document import Document
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import length_of, stored
from pixelflow.runs.weights import PARTS
from pixelflow.system import terminal
from pixelflow.system.errors import DataError, UsageError, first_line
from pixelflow.system.files import opened, write_bytes


@dataclass(frozen=True)
class TrainedWeights:
    """Weights, and what they are of."""

    spec: ExperimentSpec
    tensors: Mapping[str, Tensor]
    step: int
    weights: str
    """``ema``, ``raw``, or the length of an average."""
    classes: tuple[str, ...]

    @classmethod
    def of(cls, run: RunFolder, step: int | None, weights: str) -> TrainedWeights:
        """Those of a run's checkpoint; raises as `checkpoint.load` and `RunFolder.read_spec` do."""
        found = stored(run, step, weights)
        return cls(run.read_spec(to_draw=True), found.tensors, found.step, found.weights, run.classes_at(found.step))

    @property
    def in_bfloat16(self) -> TrainedWeights:
        """The same, rounded to half as many bytes."""
        half = {name: own.bfloat16() if own.is_floating_point() else own for name, own in self.tensors.items()}
        return replace(self, tensors=half)

    def write(self, path: Path, prefix: str = "") -> None:
        """Write the file; `prefix` is put before every tensor's name. Raises CannotWriteError."""
        header = {
            "format": "pt",
            "spec": json.dumps(self.spec.model_dump(mode="json")),
            "step": str(self.step),
            "weights": self.weights,
            "classes": json.dumps(self.classes),
        }
        header["sha256"] = _digest(header, self.tensors)
        write_bytes(path, save({prefix + name: tensor for name, tensor in self.tensors.items()}, header))

    @classmethod
    def read(cls, path: Path, prefix: str = "") -> TrainedWeights:
        """What such a file holds; `prefix` is taken off the names that have it.

        Raises:
            MissingInputError: there is no such file.
            DataError: it is no such file, or damaged.
            SpecError: its spec does not validate.
        """
        opened(path).close()
        try:
            with safe_open(path, "pt") as file:
                header = file.metadata() or {}
                tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise DataError(f"{path}: is no safetensors file ({first_line(error)})") from None
        try:
            spec, step, weights = json.loads(header["spec"][: reading.LARGEST]), int(header["step"]), header["weights"]
            classes = tuple(map(str, json.loads(header.get("classes", "[]"))))
            if weights not in PARTS:
                length_of(weights)
        except (LookupError, ValueError, TypeError, RecursionError, UsageError):
            raise DataError(
                f"{path}: its header does not tell what the weights are of; give a file that pixelflow has written"
            ) from None
        if header.pop("sha256", None) != _digest(header, tensors):
            raise DataError(f"{path}: is damaged (its SHA-256 is not the one in its header); fetch or write it anew")
        with absent.allowed(absent.by_name):
            found = reading.validate(ExperimentSpec, Document(str(path), spec), terminal.be_silent)
        if (spoilt := checkpoint.not_finite({weights: tensors})) is not None:
            raise DataError(f"{path}: is spoilt ({spoilt} is not finite)")
        return cls(found, tensors, step, weights, classes)


def _digest(header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """The hash of all that a file holds, but the prefix of its names."""
    whole = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()
