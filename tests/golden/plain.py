"""The official model said again, plainly and in float64: one image at a time, loops over heads, nothing fused.

Written from the mathematics (schedule, network, Euler sampling), independent of the package, under the release's
names for the weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

GAMMA = -1 / 3


def schedule(stages: int) -> list[dict[str, float]]:
    """Times of each stage; the release tabulates a thousand of them."""
    bounds = [math.floor(1000 * (s / stages)) / 1000 for s in range(stages)] + [1.0]
    rows, done = [], 0.0
    for p, e in itertools.pairwise(bounds):
        alpha = 1 / (math.sqrt(1 - 1 / GAMMA) * (1 - p) + p) if p else 1.0
        rows.append({"p": p, "s": alpha * p, "e": e, "alpha": alpha, "beta": alpha * (1 - p) / math.sqrt(-GAMMA)})
    total = sum(row["e"] - row["s"] for row in rows)
    for index, row in enumerate(rows):
        length = row["e"] - row["s"]
        row["first"] = math.floor(1000 * done / total)
        done += length
        is_last = index == stages - 1
        row["last"] = 999.0 if is_last else row["first"] + 0.999 * (math.floor(1000 * done / total) - row["first"])
    return rows


@dataclass
class Plain:
    weights: Mapping[str, Tensor]
    heads: int
    patch: int
    depth: int

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def rms(self, name: str, x: Tensor) -> Tensor:
        return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * self.weights[f"{name}.weight"]

    def embedding(self, name: str, value: float) -> Tensor:
        angles = value * 10000.0 ** (-torch.arange(128, dtype=torch.float64) / 127)
        hidden = F.silu(self.linear(f"{name}.linear_1", torch.cat([angles.cos(), angles.sin()])))
        return self.linear(f"{name}.linear_2", hidden)

    def velocity(
        self, x: Tensor, time: float, label: int | None = None, text: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """(c h w) -> (c h w)"""
        channels, height, width = x.shape
        p, rows, cols = self.patch, height // self.patch, width // self.patch
        places = [(row, col) for row in range(rows) for col in range(cols)]
        cut = [x[:, r * p : r * p + p, c * p : c * p + p].flatten() for r, c in places]
        kernel = self.weights["patch_embed.proj.weight"].flatten(1)
        tokens = torch.stack(cut) @ kernel.T + self.weights["patch_embed.proj.bias"]
        signal = self.embedding("timestep_embedder", time)
        signal = signal + self.embedding("latent_size_embedder", math.sqrt(rows * cols))
        if label is not None:
            signal = signal + self.weights["class_embedder.embedding_table.weight"][label]
        signal = F.silu(signal)
        for block in range(self.depth):
            tokens = self.block(f"transformer_blocks.{block}", tokens, signal, places, text, mask)
        shift, scale = self.linear("proj_out_1", signal).chunk(2)
        out = self.linear("proj_out_2", F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6) * (1 + scale) + shift)
        image = torch.zeros_like(x)
        for token, (r, c) in zip(out, places, strict=True):
            image[:, r * p : r * p + p, c * p : c * p + p] = token.view(p, p, channels).permute(2, 0, 1)
        return image

    def block(
        self,
        name: str,
        tokens: Tensor,
        signal: Tensor,
        places: Sequence[tuple[int, int]],
        text: Tensor | None,
        mask: Tensor | None,
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.linear(f"{name}.norm1.linear", signal).chunk(6)
        normed = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6) * (1 + scale1) + shift1
        tokens = tokens + gate1 * self.attention(f"{name}.attn1", normed, normed, places, places, None)
        if text is not None:
            asked = self.rms(f"{name}.norm2", tokens)
            tokens = tokens + self.attention(f"{name}.attn2", asked, text, places, None, mask)
        hidden = self.rms(f"{name}.norm3", tokens) * (1 + scale2) + shift2
        hidden = F.gelu(self.linear(f"{name}.mlp.fc1", hidden), approximate="tanh")
        return tokens + gate2 * self.linear(f"{name}.mlp.fc2", hidden)

    def attention(
        self,
        name: str,
        asking: Tensor,
        asked: Tensor,
        asking_places: Sequence[tuple[int, int]],
        asked_places: Sequence[tuple[int, int]] | None,
        mask: Tensor | None,
    ) -> Tensor:
        q = self.rms(f"{name}.q_norm", self.linear(f"{name}.q_proj", asking))
        k = self.rms(f"{name}.k_norm", self.linear(f"{name}.k_proj", asked))
        v = self.linear(f"{name}.v_proj", asked)
        outputs = []
        for q_head, k_head, v_head in zip(*(part.chunk(self.heads, -1) for part in (q, k, v)), strict=True):
            turned = torch.stack([turn(row, place) for row, place in zip(q_head, asking_places, strict=True)])
            if asked_places is not None:
                k_head = torch.stack([turn(row, place) for row, place in zip(k_head, asked_places, strict=True)])
            scores = turned @ k_head.T / math.sqrt(q_head.shape[-1])
            if mask is not None:
                scores = scores - 10000.0 * (1 - mask.to(scores))
            outputs.append(scores.softmax(-1) @ v_head)
        return self.linear(f"{name}.o_proj", torch.cat(outputs, -1))

    def euler(
        self,
        noise: Sequence[Tensor],
        steps: Sequence[int],
        weights: Sequence[float],
        condition: Mapping[str, object],
        null: Mapping[str, object],
    ) -> Tensor:
        """One image (c h w) before clipping, on the release's grid."""
        x = noise[0]
        for stage, row in enumerate(schedule(len(noise))):
            if stage:
                x = row["alpha"] * x.repeat_interleave(2, 1).repeat_interleave(2, 2) + row["beta"] * noise[stage]
            count = steps[stage]
            times = [0.999 * step / max(count - 1, 1) for step in range(count)] + [1.0]
            for now, after in itertools.pairwise(times):
                time = row["first"] + now / 0.999 * (row["last"] - row["first"])
                asked = self.velocity(x, time, **condition)  # type: ignore[arg-type]
                unasked = self.velocity(x, time, **null)  # type: ignore[arg-type]
                x = x + (after - now) * (unasked + weights[stage] * (asked - unasked))
        return x


def turn(row: Tensor, place: tuple[int, int]) -> Tensor:
    """2-D RoPE of one head (d) of one token: the first half turns with the column, the second with the row."""
    quarter, turned = len(row) // 4, row.clone()
    for half, position in enumerate((place[1], place[0])):
        for k in range(quarter):
            angle, at = position * 10000.0 ** (-k / quarter), 2 * (half * quarter + k)
            a, b = row[at].item(), row[at + 1].item()
            turned[at] = a * math.cos(angle) - b * math.sin(angle)
            turned[at + 1] = b * math.cos(angle) + a * math.sin(angle)
    return turned
