"""Packed against padded training batches, forward and backward, in one run: python benchmarks/packing.py

The peer puts the same images into one dense batch as long as the longest, with the padding masked out of attention.
Both compute the same velocities; that is checked before anything is timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from unittest import mock

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pixelflow.backbones import layers
from pixelflow.backbones.dit import DiT
from pixelflow.core.condition import Condition
from pixelflow.core.packing import ImageLayout, Layout, layout_of
from pixelflow.core.query import Query

STAGES = 4
PER_STAGE = 4
PATCH = 4
SIDE = 64


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    params = DiT.Params(depth=6, heads=4, head_dim=64)
    network = DiT(params, channels=3, patches=[PATCH] * STAGES, context_dim=None).to(device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    stages = list(reversed(range(STAGES)))
    images = [
        torch.randn(PER_STAGE, 3, SIDE >> (STAGES - 1 - s), SIDE >> (STAGES - 1 - s), device=device) for s in stages
    ]
    time_seen = torch.rand(STAGES * PER_STAGE, device=device) * 1000
    query = Query(images, stages, time_seen, Condition())
    packed = lambda: network(query).groups  # noqa: E731
    padded = lambda: padded_forward(network, query)  # noqa: E731
    with torch.no_grad():
        difference = max(float((a - b).abs().max()) for a, b in zip(packed(), padded(), strict=True))
    assert difference < 1e-4, difference
    first, second = seconds(network, packed), seconds(network, padded)
    tokens = sum((x.shape[-1] // PATCH) ** 2 * len(x) for x in images)
    longest = (SIDE // PATCH) ** 2 * STAGES * PER_STAGE
    print(f"{STAGES * PER_STAGE} images of {STAGES} resolutions: {tokens} tokens packed, {longest} padded")
    print(f"padded / packed time of a training step: {second / first:.2f} (outputs differ by at most {difference:.1e})")


def padded_forward(network: DiT, query: Query) -> list[Tensor]:
    """The same network on one dense batch."""
    images = query.images
    layout = layout_of(tuple(x.shape for x in images), (PATCH,) * len(images), images[0].device)
    patches = "b c (h ph) (w pw) -> b (h w) (c ph pw)"
    tokens = [token for x in images for token in rearrange(x, patches, ph=PATCH, pw=PATCH)]
    lengths = torch.tensor([len(token) for token in tokens])
    longest = int(lengths.max())
    dense = Layout.of([longest] * len(tokens), images[0].device)
    is_token = torch.arange(longest)[None] < lengths[:, None]
    mask = rearrange(is_token, "b m -> b 1 1 m").to(images[0].device)
    x = network.patch_in[str(PATCH)](pad_sequence(tokens, batch_first=True)).flatten(0, 1)
    signal = F.silu(network._signal(layout, query))
    rope = padded_rope(layout, network.params.head_dim)

    def attend(q: Tensor, k: Tensor, v: Tensor, _: Layout) -> Tensor:
        q, k, v = (rearrange(part, "(b l) heads d -> b heads l d", l=longest) for part in (q, k, v))
        return rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b heads l d -> (b l) heads d")

    with mock.patch.object(layers, "self_attention", attend):
        for block in network.blocks:
            x = block(x, signal, Condition(), dense, rope)
    shift, scale = network.final_modulation(signal).chunk(2, dim=-1)
    x = layers.modulate(F.layer_norm(x, x.shape[-1:], eps=1e-6), shift, scale, dense)
    x = x.view(len(tokens), longest, -1)
    return [
        network.leave(part[:, : group.length], PATCH, group, signal, None)
        for part, group in zip(x.split([group.count for group in layout.groups]), layout.groups, strict=True)
    ]


def padded_rope(layout: ImageLayout, head_dim: int) -> layers.Rope:
    """Rotations of the dense batch (b*longest 1 head_dim); the padding is not turned."""
    cos, sin, _ = layers.rope_of(layout, head_dim)
    dense = (pad_sequence(list(table.split(layout.lengths)), batch_first=True).flatten(0, 1) for table in (cos, sin))
    return layers.Rope.of(*dense)


def seconds(network: DiT, call: Callable[[], list[Tensor]]) -> float:
    """The shortest of several training steps."""
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        torch.cat([part.flatten() for part in call()]).square().mean().backward()
        network.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


if __name__ == "__main__":
    main()
