"""Prompts: labels, captions and ready embeddings to conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelflow.core.assembly import build_cascade
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Conditioner
from pixelflow.core.labels import label_indices, repeated
from pixelflow.core.model import FlowModel
from pixelflow.generation.orders import WeightsSource
from pixelflow.generation.prompt_files import read_prompts
from pixelflow.generation.prompts import Prompt, condition_for, context
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling
from pixelflow.system.errors import UsageError
from tests.conftest import make_spec

CLASSES = ("cat", "dog", "owl")


class Letters(Conditioner):
    """Captions as the codes of their first four letters; a real, if modest, text encoder."""

    reads: ClassVar[str] = "caption"

    class Params(Conditioner.Params):
        type: Literal["letters"] = "letters"

        @property
        def context_dim(self) -> int | None:
            return 2

    def prepare(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor([[*map(float, text.ljust(4).encode()[:4])] for text in values])

    def null(self, count: int) -> Tensor:
        return self.prepare([""] * count)

    def forward(self, prepared: Tensor) -> Condition:
        return Condition(tokens=torch.stack([prepared, -prepared], dim=-1), mask=prepared != 32)


@pytest.fixture
def model() -> FlowModel:
    """Conditioned on labels and on captions."""
    spec = make_spec()
    torch.manual_seed(0)
    backbone = spec.backbone.build(channels=1, patches=spec.patches, context_dim=2)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    conditioners = [spec.conditioners[0].build(width=backbone.width), Letters.Params().build()]
    return FlowModel(build_cascade(spec), backbone, conditioners, spec.objective.prediction.build())


def test_a_prompt_conditions_on_what_it_has_and_is_null_elsewhere(model: FlowModel):
    both = Prompt(2, {"label": [1, 2], "caption": ["cat", "dog"]}).condition(model)
    labels = Prompt(2, {"label": [1, 2]}).condition(model)
    captions = Prompt(2, {"caption": ["cat", "dog"]}).condition(model)
    nothing = Prompt(2).condition(model)
    assert torch.equal(both.vector, labels.vector)
    assert torch.equal(both.tokens, captions.tokens)
    assert torch.equal(captions.vector, nothing.vector)
    assert torch.equal(labels.tokens, nothing.tokens)
    assert not torch.equal(both.vector, nothing.vector)


def test_embeddings_stand_in_for_the_text_encoder(model: FlowModel):
    encoded = Prompt(2, {"label": [1, 2], "caption": ["cat", "dog"]}).condition(model)
    given = context(encoded.tokens, encoded.mask.long(), 2, model)
    ready = Prompt(2, {"label": [1, 2]}, given).condition(model)
    assert torch.equal(ready.vector, encoded.vector)
    assert torch.equal(ready.tokens, encoded.tokens)
    assert torch.equal(ready.mask, encoded.mask)


def test_a_part_has_the_rows_of_its_images(model: FlowModel):
    tokens = torch.randn(5, 3, 2)
    prompt = Prompt(5, {"label": [0, 1, 2, 3, 4]}, context(tokens, None, 5, model))
    part = prompt.part(slice(3, 9))
    assert part.count == 2
    assert part.values == {"label": [3, 4]}
    assert torch.equal(part.condition(model).tokens, tokens[3:])


def test_one_prompt_holds_for_all_images(model: FlowModel):
    one = condition_for(Prompt(1, {"label": [4], "caption": ["cat"]}), model, 3)
    three = Prompt(3, {"label": [4] * 3, "caption": ["cat"] * 3}).condition(model)
    assert torch.equal(one.vector, three.vector)
    assert torch.equal(one.mask, three.mask)


@pytest.mark.parametrize(
    ("tokens", "mask", "message"),
    [
        (torch.zeros(2, 3), None, r"embeddings must be \(b n d\)"),
        (torch.zeros(2, 3, 2), torch.ones(2, 4), r"mask \(b n\), not"),
        (torch.zeros(3, 3, 2), None, "2 images need 2 captions, not 3"),
    ],
)
def test_embeddings_that_do_not_fit_are_named(model: FlowModel, tokens: Tensor, mask, message: str):
    with pytest.raises(UsageError, match=message):
        context(tokens, mask, 2, model)


def test_a_text_run_gives_its_velocity_from_captions_and_from_embeddings(model: FlowModel):
    spec = make_spec().model_copy(update={"conditioners": (make_spec().conditioners[0], Letters.Params())})
    source = WeightsSource(run="memory", step=0, weights="ema", sha256="")
    run = Run(spec, model, CLASSES, source)
    x = torch.randn(2, 1, 16, 16)
    encoded = model.conditioners[1](model.conditioners[1].prepare(["cat", "do"]))
    told = run.velocity(x, 800, labels=1, text=["cat", "do"])
    given = run.velocity(x, 800, labels=1, text=encoded.tokens, mask=encoded.mask.float())
    unmasked = run.velocity(x, 800, labels=1, text=encoded.tokens)
    torch.testing.assert_close(given, told)
    assert not torch.allclose(unmasked, told, atol=1e-4)
    with pytest.raises(UsageError, match="have 3 channels, this run's 2"):
        run.velocity(x, 800, text=torch.zeros(2, 4, 3))


def test_labels_by_number_name_and_tensor():
    assert label_indices(2, CLASSES, 3) == [2]
    assert label_indices("dog", CLASSES, 3) == [1]
    assert label_indices(["cat", 1, "2", " 2", np.int64(0)], CLASSES, 3) == [0, 1, 2, 2, 0]
    assert label_indices(torch.tensor([2, 0]), CLASSES, 3) == [2, 0]
    assert label_indices(["7", 7], (), 8) == [7, 7]


@pytest.mark.parametrize("one", [2, "2"])
@pytest.mark.parametrize(
    ("classes", "index"),
    [
        (tuple(map(str, range(11))), 2),
        (("0", "1", "10", "2", "3"), 3),  # as older runs list them
        (("1", "2", "3"), 1),
        (("01", "02", "03"), 1),
        (("cat", "dog", "owl"), 2),
        (("2", "cat", "dog"), 0),
    ],
)
def test_a_number_means_the_same_as_text_and_as_a_number(one: int | str, classes: tuple[str, ...], index: int):
    assert label_indices(one, classes, len(classes)) == [index]


def test_a_name_is_found_however_its_accents_are_spelt():
    assert label_indices("caf\u00e9", ("bar", "cafe\u0301"), 2) == [1]


@pytest.mark.parametrize(
    ("label", "classes", "message"),
    [
        ("dgo", CLASSES, "did you mean 'dog'"),
        ("", CLASSES, "no class is called ''"),
        (-1, CLASSES, r"label -1 is outside 0\.\.2 \(there are: cat, dog, owl\)"),
        ("3", CLASSES, r"label 3 is outside 0\.\.2"),
        (3, CLASSES, r"label 3 is outside 0\.\.2"),
        (10**30, CLASSES, "larger than any class's"),
        ("9" * 5000, CLASSES, r"outside 0\.\.2"),
        (10, tuple("0123456789"), r"no class is called '10' \(.* 9\), and names here are numbers"),
        (0, ("1", "2", "3"), "no class is called '0'"),
        (1000, (), r"label 1000 is outside 0\.\.2 \(this run's classes have no names\)"),
        (1.0, CLASSES, r"whole numbers or names of classes, not 1\.0"),
        (torch.tensor([1.5]), CLASSES, r"not 1\.5"),
    ],
)
def test_what_is_no_class_is_refused(label: Any, classes: tuple[str, ...], message: str):
    with pytest.raises(UsageError, match=message):
        label_indices(label, classes, 3)


def test_repetition():
    assert repeated("ab", 5) == list("ababa")
    assert repeated([1, 2, 3], 2) == [1, 2]
    assert repeated([], 3) == []


def test_settings_change_only_what_is_named(tiny_spec):
    changed = changed_sampling(tiny_spec, {"steps": [4, 5], "sampler": None}, ["batch_size=7"])
    assert changed == tiny_spec.sampling.model_copy(update={"steps": (4, 5), "batch_size": 7})


def test_naming_the_component_that_is_there_keeps_its_settings():
    spec = make_spec("sampling.sampler={type: dopri5, rtol: 0.01}", "sampling.guidance={type: stagewise, scale: 3}")
    kept = changed_sampling(spec, {"sampler": "dopri5", "guidance": 1.75})
    assert kept.sampler == spec.sampling.sampler
    assert kept.guidance == spec.sampling.guidance.model_copy(update={"scale": 1.75})
    assert changed_sampling(make_spec("sampling.guidance=none"), {"guidance": 2}).guidance.type == "constant"


def test_only_line_ends_end_a_prompt(tmp_path):
    """Not what Unicode takes for one: form feeds, line separators, next lines."""
    (tmp_path / "prompts.txt").write_bytes("one\u2028still\x0cone\u0085\rtwo\r\n\nthree\n".encode())
    assert read_prompts(tmp_path / "prompts.txt") == ["one\u2028still\x0cone", "two", "three"]
