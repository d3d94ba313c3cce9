"""The release's names and shapes for the weights, and ours.

Ours fuse q, k, v (and the context's k, v) into one linear; everything else is a renaming.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Table = Mapping[str, tuple[str, ...]]
"""Our name -> the release's names, whose tensors, one behind the other along the first axis, make it up."""

Shape = tuple[int, ...]

_LEAVES = ("weight", "bias")
_EMBEDDINGS = {"time_embedding": "timestep_embedder", "size_embedding": "latent_size_embedder"}


def name_table(depth: int, patch: int, *, has_text: bool, has_labels: bool) -> Table:
    """Where each of our weights comes from."""
    table = dict(
        [
            *_linear(f"backbone.patch_in.{patch}", "patch_embed.proj"),
            *_linear(f"backbone.patch_out.{patch}", "proj_out_2"),
            *_linear("backbone.final_modulation", "proj_out_1"),
        ]
    )
    for ours, theirs in _EMBEDDINGS.items():
        table.update(_linear(f"backbone.{ours}.inner", f"{theirs}.linear_1"))
        table.update(_linear(f"backbone.{ours}.outer", f"{theirs}.linear_2"))
    if has_labels:
        table["conditioners.0.table.weight"] = ("class_embedder.embedding_table.weight",)
    for index in range(depth):
        table.update(_block(f"backbone.blocks.{index}", f"transformer_blocks.{index}", has_text))
    return table


def _block(ours: str, theirs: str, has_text: bool) -> dict[str, tuple[str, ...]]:
    table = dict(
        [
            *_linear(f"{ours}.modulation", f"{theirs}.norm1.linear"),
            *_linear(f"{ours}.attention.qkv", *(f"{theirs}.attn1.{part}_proj" for part in "qkv")),
            *_attention(f"{ours}.attention", f"{theirs}.attn1"),
            *_linear(f"{ours}.mlp.inner", f"{theirs}.mlp.fc1"),
            *_linear(f"{ours}.mlp.outer", f"{theirs}.mlp.fc2"),
            (f"{ours}.mlp_norm.weight", (f"{theirs}.norm3.weight",)),
        ]
    )
    if has_text:
        cross = f"{ours}.cross_attention"
        table[f"{ours}.cross_norm.weight"] = (f"{theirs}.norm2.weight",)
        table.update(_linear(f"{cross}.q", f"{theirs}.attn2.q_proj"))
        table.update(_linear(f"{cross}.kv", *(f"{theirs}.attn2.{part}_proj" for part in "kv")))
        table.update(_attention(cross, f"{theirs}.attn2"))
    return table


def _linear(ours: str, *theirs: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(f"{ours}.{leaf}", tuple(f"{name}.{leaf}" for name in theirs)) for leaf in _LEAVES]


def _attention(ours: str, theirs: str) -> list[tuple[str, tuple[str, ...]]]:
    norms = [(f"{ours}.{norm}.weight", (f"{theirs}.{norm}.weight",)) for norm in ("q_norm", "k_norm")]
    return [*_linear(f"{ours}.out", f"{theirs}.o_proj"), *norms]


def from_official(state: Mapping[str, Tensor], table: Table) -> dict[str, Tensor]:
    """Our state dict, in float32, from the release's, which must hold every source."""
    return {name: _joined(name, [state[part] for part in parts]) for name, parts in table.items()}


def _joined(name: str, parts: list[Tensor]) -> Tensor:
    tensor = torch.cat(parts).float()
    return tensor.flatten(1) if _is_patch_kernel(name) else tensor


def to_official(state: Mapping[str, Tensor], table: Table, patch: int) -> dict[str, Tensor]:
    """The release's state dict from ours; the inverse of `from_official`. The tensors own their memory."""
    theirs: dict[str, Tensor] = {}
    for name, parts in table.items():
        tensor = state[name]
        if _is_patch_kernel(name):
            tensor = tensor.unflatten(1, (-1, patch, patch))
        for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
            theirs[part] = piece.clone()
    return theirs


def _is_patch_kernel(name: str) -> bool:
    """The release embeds patches by a convolution (d c p p), we by a matrix (d c*p*p)."""
    return ".patch_in." in name and name.endswith(".weight")


def misfits(found: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> list[str]:
    """One line for every weight that is missing, unknown or of another shape."""
    return [
        *(f"{name} {shape} is missing" for name, shape in wanted.items() if name not in found),
        *(f"{name} {shape} is unknown" for name, shape in found.items() if name not in wanted),
        *(
            f"{name} is {found[name]} instead of {shape}"
            for name, shape in wanted.items()
            if found.get(name, shape) != shape
        ),
    ]
