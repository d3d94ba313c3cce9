"""Encoded captions on disk, and conditioners that read them."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from typing import Literal

import pytest
import torch

import pixelflow
from pixelflow.conditioners import token_cache
from pixelflow.conditioners.clip_text import ClipText
from pixelflow.conditioners.sentence import Sentence
from pixelflow.conditioners.t5 import T5
from pixelflow.conditioners.token_cache import TokenCache, key_of, write_shard
from pixelflow.core import plugin_use
from pixelflow.data.digits import Digits
from pixelflow.system.errors import DataError, MissingDependencyError
from tests.tiny_encoders import SENTENCES

DIGITS = Digits.Params().build(height=8, width=8, channels=1)


def states_of(lengths, dim=6, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return {key_of(f"caption {n}"): torch.randn(m, dim, generator=generator).to(dtype) for n, m in enumerate(lengths)}


class Mine(T5):
    """An encoder of another's code."""

    class Params(T5.Params):
        type: Literal["mine.t5"] = "mine.t5"


def test_other_code_has_other_tokens(tmp_path, monkeypatch):
    """A plugin's encoder that was mended must not be given what it computed before."""
    settings = {"model": "any", "dim": 4, "sha256": "0" * 64, "cache": tmp_path}
    pixelflow.register(Mine)
    before = Mine.Params(**settings).cache_folder
    assert Mine.Params(**settings).cache_folder == before
    assert before.name.startswith("mine.t5-")
    monkeypatch.setattr(plugin_use, "_source_of", lambda cls: "mended")
    assert Mine.Params(**settings).cache_folder != before
    digest = hashlib.sha256(json.dumps(decisive(T5.Params(**settings)), sort_keys=True).encode()).hexdigest()
    assert T5.Params(**settings).cache_folder.name == f"t5-{digest[:16]}", "what is built in keeps its name"


def decisive(params: T5.Params) -> dict[str, object]:
    return {name: value for name, value in params.record.items() if name not in ("model", "dim")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_written_is_found_and_read(tmp_path, dtype):
    states = states_of([3, 1, 7, 2, 5], dtype=dtype)
    keys = list(states)
    write_shard(tmp_path, {key: states[key] for key in keys[:2]})
    write_shard(tmp_path, {key: states[key] for key in keys[2:]})
    cache = TokenCache(tmp_path)
    assert len(cache) == 5
    found = cache.find([keys[4], key_of("unheard of"), keys[0], keys[2]])
    assert (found >= 0).tolist() == [True, False, True, True]
    read, mask = cache.read(found[[0, 2, 3]])
    assert read.dtype == dtype
    assert mask.sum(dim=1).tolist() == [5, 3, 7]
    for own, own_mask, key in zip(read, mask, (keys[4], keys[0], keys[2]), strict=True):
        assert torch.equal(own[own_mask], states[key])
        assert not own[~own_mask].any()


def test_keys_with_zeros_at_their_end_are_told_apart(tmp_path):
    keys = [b"\0" * 32, b"\1" + b"\0" * 31, b"\1\1" + b"\0" * 30, b"\xff" * 32]
    write_shard(tmp_path, {key: torch.full((1, 2), float(place)) for place, key in enumerate(keys)})
    cache = TokenCache(tmp_path)
    read, _ = cache.read(cache.find(keys))
    assert read[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert cache.find([b"\1" * 32]).tolist() == [-1]


def test_an_empty_cache_knows_nothing(tmp_path):
    cache = TokenCache(tmp_path / "nowhere")
    assert len(cache) == 0
    assert cache.find([key_of("a"), key_of("b")]).tolist() == [-1, -1]


def test_a_damaged_shard_is_named(tmp_path):
    write_shard(tmp_path, states_of([3]))
    (shard,) = tmp_path.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{shard.name}: is damaged .cannot be read"):
        TokenCache(tmp_path)
    (tmp_path / "t5-0").mkdir()
    (tmp_path / "t5-0" / "encoder.json").write_text("[1")
    with pytest.raises(DataError, match=r"encoder.json: is not a record of a text encoder"):
        token_cache.encoders(tmp_path)


@pytest.fixture(
    params=["t5", "clip_text tokens", "clip_text pooled", "sentence tokens", "sentence pooled", "sentence both"]
)
def params(request, t5_folder, clip_folder, sentence_folder, tmp_path):
    """Resolved settings of an encoder with a cache that holds all sentences but the last."""
    name, _, gives = request.param.partition(" ")
    if name == "t5":
        raw = T5.Params(model=str(t5_folder), max_tokens=40, cache=tmp_path / "cache")
    elif name == "sentence":
        raw = Sentence.Params(model=str(sentence_folder), max_tokens=40, gives=gives, cache=tmp_path / "cache")
    else:
        raw = ClipText.Params(model=str(clip_folder), max_tokens=20, gives=gives, cache=tmp_path / "cache")
    resolved = raw.resolved(DIGITS)
    token_cache.create(resolved.cache_folder, resolved.record)
    encoder = resolved.build(width=16)
    known = ["", *SENTENCES[:-1]]
    states, mask = encoder.encoded(encoder.rows(known))
    write_shard(resolved.cache_folder, {key_of(k): s[m] for k, s, m in zip(known, states, mask, strict=True)})
    return resolved


def both(params, captions):
    """The condition with the cache and without it, by the same weights."""
    torch.manual_seed(0)
    with_cache = params.build(width=16)
    without = params.model_copy(update={"cache": None}).build(width=16)
    without.load_state_dict(with_cache.state_dict())
    return with_cache(with_cache.prepare(captions)), without(without.prepare(captions))


@pytest.mark.parametrize(
    "captions",
    [SENTENCES[:-1], ["", SENTENCES[1]], [*SENTENCES], [SENTENCES[-1], "", "unheard of"], [SENTENCES[-1]]],
    ids=["all", "with the empty one", "all but one", "few", "none"],
)
def test_the_cache_gives_what_the_encoder_gives(params, captions):
    got, wanted = both(params, captions)
    if wanted.vector is not None:
        torch.testing.assert_close(got.vector, wanted.vector, rtol=0, atol=1e-5)
    if wanted.tokens is None:
        return
    assert torch.equal(got.mask, wanted.mask)
    torch.testing.assert_close(got.tokens[got.mask], wanted.tokens[wanted.mask], rtol=0, atol=1e-5)


def test_prepared_captions_go_with_the_null_condition(params):
    encoder = params.build(width=16)
    rows = encoder.prepare([SENTENCES[0], "unheard of"])
    assert rows.shape == encoder.null(2).shape
    assert torch.equal(encoder.prepare(["", ""]), encoder.null(2))


def test_settings_come_from_the_cache_where_it_knows_the_encoder(params, monkeypatch):
    asked = params.model_copy(update={"dim": None, "sha256": None})
    monkeypatch.setattr(type(params), "folder", lambda self: pytest.fail("the encoder's files were read"))
    assert asked.resolved(DIGITS) == params
    with pytest.raises(pytest.fail.Exception):
        asked.model_copy(update={"max_tokens": 10}).resolved(DIGITS)


def test_a_projection_of_cached_captions_is_trained(params):
    if params.context_dim is None:
        pytest.skip("a pooled caption has a layer of its own")
    text = params.model_copy(update={"project": 12}).build(width=16)
    text(text.prepare(SENTENCES[:2])).tokens.sum().backward()
    assert text.projection.weight.grad is not None


def test_copies_share_the_cache(params):
    encoder = params.build(width=16)
    encoder.prepare([SENTENCES[0]])
    assert copy.deepcopy(encoder).cache is encoder.cache


def test_a_caption_that_is_not_there_loads_the_encoder_or_says_so(params, caplog):
    encoder = params.build(width=16)
    with caplog.at_level(logging.WARNING):
        encoder.prepare(["unheard of"])
        encoder.prepare(["nor this"])
    (record,) = caplog.records
    assert "lacks the caption 'unheard of', so the encoder in" in record.message
    lost = params.model_copy(update={"model": "nobody/nothing"}).build(width=16)
    assert lost(lost.prepare(SENTENCES[:2])) is not None
    with pytest.raises(MissingDependencyError) as caught:
        lost.prepare(["unheard of"])
    assert "lacks the caption 'unheard of', and" in str(caught.value)
    assert "hf download nobody/nothing" in str(caught.value)
    assert "\n" not in str(caught.value)
