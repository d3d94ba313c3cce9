"""The byte-level text encoder."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelflow.conditioners.byte_text import ByteText, by_word, word_hashes
from pixelflow.system.errors import UsageError


def encoder(**changes) -> ByteText:
    torch.manual_seed(0)
    return ByteText.Params(**{"dim": 32, "depth": 2, "max_bytes": 40, **changes}).build(width=16)


def test_masks_what_is_behind_a_caption():
    condition = encoder()(encoder().prepare(["a red circle", "", "ü"]))
    assert condition.tokens.shape == (3, 13, 32)
    assert condition.mask.sum(dim=1).tolist() == [13, 1, 3]


def test_words_are_means_over_their_bytes():
    captions = ["ab c", " a", "", "a  b"]
    rows = encoder(max_bytes=6).prepare(captions)
    x = torch.arange(24.0).view(4, 6, 1)
    means, mask = by_word(x, rows.clamp(min=0), rows != -1)
    assert mask.sum(dim=1).tolist() == [3, 2, 1, 4]
    assert [own[: int(count)].flatten().tolist() for own, count in zip(means, mask.sum(dim=1), strict=True)] == [
        [0.5, 2.5, 4.0],
        [6.5, 8.0],
        [12.0],
        [18.0, 19.0, 20.5, 22.0],
    ]


def hashes(*captions: str) -> list[list[int]]:
    rows = encoder().prepare(captions)
    mask = rows != -1
    lengths = by_word(rows[..., None].float(), rows, mask)[1].sum(dim=1)
    return [own[: int(length)].tolist() for own, length in zip(word_hashes(rows, mask), lengths, strict=True)]


def test_a_words_hash_is_its_own_wherever_it_stands():
    first, second = hashes("red and a red", "a much longer red")
    assert first[0] == first[3] == second[3]
    assert first[2] == second[0]
    assert first[4] == second[4]


def test_words_of_the_same_letters_or_places_have_other_hashes():
    words = [f"{a}{b}{c}" for a in "abcdefgh" for b in "abcdefgh" for c in ("", "s", "ss", "ü")]
    found = [own[0] % 4096 for own in hashes(*words)]
    assert len(set(hashes("stop pots tops opts post")[0])) == 6
    assert len(set(found)) > 0.95 * 4096 * (1 - (1 - 1 / 4096) ** len(words))


def test_a_words_embedding_is_no_other_words():
    text = encoder(words=True, depth=0)
    red, blue = (text(text.prepare([caption])).tokens[0, 0] for caption in ("red", "blue"))
    before = text(text.prepare(["blue red"])).tokens[0, 1]
    with torch.no_grad():
        text.word_table.weight[hashes("red")[0][0] % text.params.buckets] += 1 + torch.arange(32)
    assert not torch.allclose(text(text.prepare(["blue red"])).tokens[0, 1], before, atol=0.1)
    assert not torch.allclose(text(text.prepare(["red"])).tokens[0, 0], red, atol=0.1)
    torch.testing.assert_close(text(text.prepare(["blue"])).tokens[0, 0], blue)


def test_as_words_a_caption_has_as_many_tokens_as_words_and_an_end():
    text = encoder(words=True)
    condition = text(text.prepare(["a red circle", "", "Würfel"]))
    assert condition.mask.sum(dim=1).tolist() == [4, 1, 2]
    assert condition.tokens.shape == (3, 4, 32)


@pytest.mark.parametrize("max_bytes", [2, 3, 40, 41])
@pytest.mark.parametrize("words", [False, True])
def test_the_most_tokens_are_those_of_the_longest_caption_of_the_shortest_words(words, max_bytes):
    text = encoder(words=words, max_bytes=max_bytes)
    condition = text(text.prepare([" ".join("a" * max_bytes)]))
    assert condition.tokens.shape[1] == text.params.context_tokens


@pytest.mark.parametrize("words", [False, True])
def test_padding_changes_nothing(words):
    text = encoder(words=words)
    alone = text(text.prepare(["a red"])).tokens[0]
    beside = text(text.prepare(["a red", "a much longer caption"])).tokens[0]
    torch.testing.assert_close(beside[: len(alone)], alone, rtol=0, atol=1e-6)


def test_the_null_condition_is_the_empty_caption():
    text = encoder()
    assert torch.equal(text.null(2), text.prepare(["", ""]))


def test_long_captions_are_cut_counted_and_said(caplog):
    text = encoder(max_bytes=8)
    with caplog.at_level(logging.WARNING):
        rows = text.prepare(["short", *["a long caption"] * 12])
    assert rows.shape == (13, 8)
    assert rows[1].tolist() == [*b"a long ", 256]
    assert text._rows.cut == 12
    assert [record.message for record in caplog.records] == [
        f"bytes: a caption of 15 tokens was cut to 8 (captions cut so far: {count}): 'a long caption'"
        for count in (1, 10)
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_can_be_prepared(captions):
    text = encoder(depth=0, words=True)
    condition = text(text.prepare(captions))
    assert condition.tokens.isfinite().all()
    assert condition.mask.any(dim=1).all()


@pytest.mark.parametrize("caption", [None, 3, "\ud800"])
def test_refuses_what_is_no_text(caption):
    with pytest.raises(UsageError):
        encoder().prepare(["fine", caption])


@pytest.mark.parametrize("changes", [{"heads": 5}, {"kernel": 4}])
def test_refuses_settings_that_do_not_fit(changes):
    with pytest.raises(ValueError, match=r"do not divide|must be odd"):
        ByteText.Params(**changes)


def test_the_vector_is_the_mean_of_a_captions_own_tokens():
    text = encoder(vector=True)
    both, alone = text(text.prepare(["a red", "a much longer caption"])), text(text.prepare(["a red"]))
    assert both.vector.shape == (2, 16)
    torch.testing.assert_close(both.vector[:1], text.to_vector(alone.tokens.mean(dim=1)))
    assert encoder()(encoder().prepare(["a red"])).vector is None


def test_every_weight_is_trained():
    text = encoder(words=True, vector=True)
    condition = text(text.prepare(["a red circle"]))
    (condition.tokens.square().sum() + condition.vector.sum()).backward()
    assert [name for name, weight in text.named_parameters() if weight.grad is None] == []
