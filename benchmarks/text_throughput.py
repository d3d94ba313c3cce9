"""Training with cached text against training with class labels, per unit of work: python benchmarks/text_throughput.py

Two models with the same backbone, apart from cross-attention, take turns on the same images, so that both see the same
image tokens. Their work is counted, not measured: forward multiply-accumulates by `Backbone.cost`, those of
cross-attention included and with the tokens that the captions really have (padding is overhead); backward twice that,
but once for the projection of the captions' tokens, which pass no gradient on. A step is all that training does but
reading images: states and targets, captions looked up in the cache, forward, backward, optimizer. The figure is

    (text images/s x text work an image) / (class images/s x class work an image)
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch
from text_cache import CAPTIONS, Steps, captions_of_shapes, make_t5, spec_of

from pixelflow.conditioners.class_label import ClassLabel
from pixelflow.core.assembly import build_cascade, build_dataset, build_network, resolve
from pixelflow.core.spec import ExperimentSpec
from pixelflow.system.parallel import Parallel
from pixelflow.training.caching import cache_text

ROUNDS = 5


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        make_t5(Path(folder), captions_of_shapes(CAPTIONS), layers=1, dim=512)
        text = spec_of(folder, size=64, batch=12, depth=2, heads=12)
        (done,) = cache_text(text, Parallel(device), print)
        text = resolve(text, build_dataset(text))
        tokens = mean_tokens(done.cache)
        label = text.model_copy(update={"conditioners": (ClassLabel.Params(classes=10),)})
        own, others = Steps(text, device), Steps(label, device)
        paired = [(own.seconds(step), others.seconds(step)) for step in range(ROUNDS + 1)][1:]
    work = work_of_image(text, tokens), work_of_image(label, 0.0)
    size = text.training.batch_size
    for name, seconds, macs in zip(("text", "class"), zip(*paired, strict=True), work, strict=True):
        print(f"{name}: {size / median(seconds):.1f} images/s, {macs / 1e9:.2f} GMAC an image and step")
    ratio = median(theirs / ours for ours, theirs in paired)
    print(f"captions have {tokens:.1f} tokens; images/s with text / with classes: {ratio:.2f}")
    print(f"the same for equal work: {ratio * work[0] / work[1]:.2f}")


def mean_tokens(cache) -> float:
    """Tokens of a caption, without padding."""
    _, mask = cache.read(torch.arange(len(cache)))
    return float(mask.sum()) / len(cache)


def work_of_image(spec: ExperimentSpec, context_tokens: float) -> float:
    """Multiply-accumulates of a training step, an image, averaged over the stages."""
    backbone, _ = build_network(spec)
    cascade = build_cascade(spec)
    total = 0.0
    for stage, patch in zip(cascade.stages, spec.patches, strict=True):
        height, width = cascade.size(stage, *spec.image.size)
        total += 3 * backbone.cost(height // patch, width // patch, stage.index, context_tokens).macs
    if backbone.text_dim is None:
        return total / spec.stages
    unused = spec.backbone.depth * 2 * context_tokens * backbone.text_dim * backbone.width
    return total / spec.stages - unused


if __name__ == "__main__":
    main()
