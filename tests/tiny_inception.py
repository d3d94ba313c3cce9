"""A TorchScript file with the parts of inception-2015-12-05.pt that are used, a few kilobytes large."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOL, CLASSES = 12, 10


class Conv(nn.Module):
    """Convolution and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Mixed(nn.Module):
    """Two branches, of which the first is called conv."""

    def __init__(self, before: int, branch: int, after: int) -> None:
        super().__init__()
        self.conv, self.tower = Conv(before, branch), Conv(before, after - branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(x), self.tower(x)], 1)


class TinyInception(nn.Module):
    """With the real file's signature, and its way to resize inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            OrderedDict(
                pool0=nn.AvgPool2d(17), conv=Conv(3, 6), mixed_5=Mixed(6, 5, 8), mixed_6=Mixed(8, 9, 11),
                mixed_7=Mixed(11, 4, POOL), pool2=nn.AdaptiveAvgPool2d(1),
            )
        )  # fmt: skip
        self.output = nn.Linear(POOL, CLASSES)

    def forward(self, img: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        batch, _, height, width = img.shape
        theta = torch.eye(2, 3)
        theta[0, 2] += theta[0, 0] / width - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / height - theta[1, 1] / 299
        grid = F.affine_grid(theta[None].repeat(batch, 1, 1), [batch, 3, 299, 299], align_corners=False)
        x = F.grid_sample(img, grid, mode="bilinear", padding_mode="border", align_corners=False)
        features = self.layers((x - 128) / 128).reshape(-1, 12)
        if return_features:
            return features
        logits = F.linear(features, self.output.weight)
        return F.softmax(logits if no_output_bias else logits + self.output.bias, dim=1)


def make_inception(file: Path) -> dict[str, str]:
    """Write the file; returns the settings under which it is read."""
    torch.manual_seed(0)
    torch.jit.script(TinyInception().eval()).save(file)
    return {"weights": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
