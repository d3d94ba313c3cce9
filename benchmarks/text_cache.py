"""What a cache of encoded captions saves, in one run: python benchmarks/text_cache.py

A T5 of Flan-T5-small's proportions (encoder of 6 layers x 512 channels, random weights) is written to disk and encodes
captions of the data set shapes. Compared are the seconds a caption, and whole training steps of one model on the same
batches with the encoder in the loop and with the cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from pixelflow.core import reading
from pixelflow.core.assembly import build_dataset, build_model, resolve
from pixelflow.core.spec import ExperimentSpec
from pixelflow.system import torchvision_compat
from pixelflow.system.parallel import Parallel
from pixelflow.training.caching import cache_text
from pixelflow.training.loader import Batch, grouped
from pixelflow.training.objective import WorkMaker, build_objective

CAPTIONS = 512
ROUNDS = 5
SPEC = """
name: text
image: {{size: {size}}}
data: {{type: shapes, count: {captions}}}
cascade: {{kickoff: 4, patch: 4}}
backbone: {{type: dit, depth: {depth}, heads: {heads}, head_dim: 64}}
conditioners: [{{type: t5, model: "{folder}", max_tokens: 64, cache: "{folder}/cache"}}]
training: {{batch_size: {batch}}}
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        make_t5(Path(folder), captions_of_shapes(CAPTIONS), layers=6, dim=512)
        spec = spec_of(folder, size=32, batch=32, depth=6, heads=6)
        (done,) = cache_text(spec, Parallel(device), print)
        print(done.summary)
        with_cache = Steps(spec, device)
        without = Steps(uncached(spec), device)
        paired = [(without.seconds(step), with_cache.seconds(step)) for step in range(ROUNDS + 1)][1:]
        rates = [spec.training.batch_size / median(column) for column in zip(*paired, strict=True)]
        print(f"training: {rates[0]:.1f} images/s with the encoder, {rates[1]:.1f} with the cache")
        print(f"speed-up of a training step: {median(slow / fast for slow, fast in paired):.2f}")


class Steps:
    """Training steps of one spec."""

    def __init__(self, spec: ExperimentSpec, device: torch.device) -> None:
        torch.manual_seed(0)
        self._dataset = build_dataset(spec)
        self._spec = resolve(spec, self._dataset)
        self._model = build_model(self._spec).to(device).train()
        self._objective = build_objective(self._spec, self._model, self._model)
        self._work = WorkMaker(self._model, self._spec)
        self._optimizer = torch.optim.AdamW(self._model.parameters())

    def seconds(self, step: int) -> float:
        """Of one step, without reading the images."""
        size = self._spec.training.batch_size
        samples = [self._dataset.sample(step * size + place, torch.Generator()) for place in range(size)]
        captions = [self._dataset.captions(step * size + place)[0] for place in range(size)]
        values = {"caption": captions, "label": [place % 10 for place in range(size)]}
        batch = Batch(grouped([sample.image for sample in samples]), values)
        begun = time.perf_counter()
        torch.cat(self._objective(self._work(batch, step))).mean().backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def spec_of(folder: str, *, size: int, batch: int, depth: int, heads: int) -> ExperimentSpec:
    text = SPEC.format(folder=folder, captions=CAPTIONS, size=size, batch=batch, depth=depth, heads=heads)
    return reading.validate(ExperimentSpec, reading.parse(text, "SPEC"))


def uncached(spec: ExperimentSpec) -> ExperimentSpec:
    """The same experiment with the encoder in the loop."""
    plain = tuple(params.model_copy(update={"cache": None}) for params in spec.conditioners)
    return spec.model_copy(update={"conditioners": plain})


def captions_of_shapes(count: int) -> list[str]:
    from pixelflow.data.shapes.dataset import Shapes

    dataset = Shapes.Params(count=count).build(height=32, width=32, channels=3)
    return [dataset.captions(index)[0] for index in range(count)]


def make_t5(folder: Path, captions: Sequence[str], layers: int, dim: int) -> None:
    """An encoder with random weights, and a tokenizer trained on `captions`, as hubs hold them."""
    torchvision_compat.make_importable()
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    tokens = Tokenizer(models.Unigram())
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokens.train_from_iterator(captions, trainer)
    tokens.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32128, d_model=dim, d_kv=64, d_ff=2 * dim, num_layers=layers, num_heads=dim // 64,
        feed_forward_proj="gated-gelu", dense_act_fn="gelu_new",
    )  # fmt: skip
    T5EncoderModel(config).save_pretrained(folder)


if __name__ == "__main__":
    main()
