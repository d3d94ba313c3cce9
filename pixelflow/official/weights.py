"""The release's names and shapes for the weights, and ours.

Ours fuse q, k, v (and the context's k, v) into one linear; everything else is a renaming.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_EMBEDDING = {"inner": "linear_1", "outer": "linear_2"}


def sources(depth: int, patch: int, text: bool, labelled: bool) -> dict[str, tuple[str, ...]]:
    """Our name -> the release's names whose tensors, concatenated along the first axis, make it up."""
    table: dict[str, tuple[str, ...]] = {}

    def linear(ours: str, *theirs: str) -> None:
        for leaf in ("weight", "bias"):
            table[f"{ours}.{leaf}"] = tuple(f"{name}.{leaf}" for name in theirs)

    linear(f"backbone.patch_in.{patch}", "patch_embed.proj")
    linear(f"backbone.patch_out.{patch}", "proj_out_2")
    linear("backbone.final_modulation", "proj_out_1")
    for ours, theirs in (("time_embedding", "timestep_embedder"), ("size_embedding", "latent_size_embedder")):
        for our_layer, their_layer in _EMBEDDING.items():
            linear(f"backbone.{ours}.{our_layer}", f"{theirs}.{their_layer}")
    if labelled:
        table["conditioners.0.table.weight"] = ("class_embedder.embedding_table.weight",)
    for index in range(depth):
        ours, theirs = f"backbone.blocks.{index}", f"transformer_blocks.{index}"
        linear(f"{ours}.modulation", f"{theirs}.norm1.linear")
        linear(f"{ours}.attention.qkv", *(f"{theirs}.attn1.{part}_proj" for part in "qkv"))
        linear(f"{ours}.attention.out", f"{theirs}.attn1.o_proj")
        for norm in ("q_norm", "k_norm"):
            table[f"{ours}.attention.{norm}.weight"] = (f"{theirs}.attn1.{norm}.weight",)
        table[f"{ours}.mlp_norm.weight"] = (f"{theirs}.norm3.weight",)
        linear(f"{ours}.mlp.inner", f"{theirs}.mlp.fc1")
        linear(f"{ours}.mlp.outer", f"{theirs}.mlp.fc2")
        if text:
            table[f"{ours}.cross_norm.weight"] = (f"{theirs}.norm2.weight",)
            linear(f"{ours}.cross_attention.q", f"{theirs}.attn2.q_proj")
            linear(f"{ours}.cross_attention.kv", *(f"{theirs}.attn2.{part}_proj" for part in "kv"))
            linear(f"{ours}.cross_attention.out", f"{theirs}.attn2.o_proj")
            for norm in ("q_norm", "k_norm"):
                table[f"{ours}.cross_attention.{norm}.weight"] = (f"{theirs}.attn2.{norm}.weight",)
    return table


def from_official(state: Mapping[str, Tensor], table: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """Our state dict from the release's; every source must be there."""
    ours = {}
    for name, parts in table.items():
        tensors = [state[part] for part in parts]
        tensor = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        ours[name] = tensor.flatten(1) if ".patch_in." in name and name.endswith("weight") else tensor
    return ours
