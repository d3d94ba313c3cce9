"""Frozen text encoders, read from real files: T5 and CLIP."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch

from pixelflow.conditioners.clip_text import ClipText
from pixelflow.conditioners.sentence import Sentence
from pixelflow.conditioners.t5 import T5
from pixelflow.data.digits import Digits
from pixelflow.system import torchvision_compat
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError, UsageError
from tests.tiny_encoders import SENTENCES

DIGITS = Digits.Params().build(height=8, width=8, channels=1)


@pytest.fixture(params=["t5", "clip_text", "sentence"])
def params(request, t5_folder, clip_folder, sentence_folder):
    """Resolved settings of each encoder."""
    if request.param == "t5":
        return T5.Params(model=str(t5_folder), max_tokens=40).resolved(DIGITS)
    if request.param == "sentence":
        return Sentence.Params(model=str(sentence_folder), max_tokens=40).resolved(DIGITS)
    return ClipText.Params(model=str(clip_folder), max_tokens=20).resolved(DIGITS)


def test_settings_are_filled_in_from_the_files(params):
    assert params.dim == 32
    assert len(params.sha256) == 64


def test_tokens_and_mask(params):
    text = params.build(width=16)
    condition = text(text.prepare([*SENTENCES, ""]))
    assert condition.tokens.shape[::2] == (5, 32)
    assert condition.mask.shape == condition.tokens.shape[:2]
    assert condition.mask.any(dim=1).all()
    assert condition.mask[0].sum() > condition.mask[4].sum()


def test_the_null_condition_is_the_empty_caption(params):
    text = params.build(width=16)
    rows = text.null(2)
    assert torch.equal(rows, text.prepare(["", ""]))
    assert text(rows).mask.any(dim=1).all()


def test_padding_changes_nothing(params):
    text = params.build(width=16)
    alone, beside = text(text.prepare(["a red house"])), text(text.prepare(["a red house", SENTENCES[2]]))
    count = int(alone.mask.sum())
    assert int(beside.mask[0].sum()) == count
    torch.testing.assert_close(beside.tokens[0, :count], alone.tokens[0, :count], rtol=0, atol=1e-5)


def test_nothing_of_the_encoder_is_trained_saved_or_copied(params):
    text = params.build(width=16)
    condition = text(text.prepare(["a red house"]))
    assert not condition.tokens.requires_grad
    assert list(text.state_dict()) == []
    assert torch.equal(copy.deepcopy(text)(text.prepare(["a red house"])).tokens, condition.tokens)


def test_a_projection_is_trained(params):
    text = params.model_copy(update={"project": 12}).build(width=16)
    assert text.params.context_dim == 12
    tokens = text(text.prepare(["a red house"])).tokens
    tokens.sum().backward()
    assert tokens.shape[-1] == 12
    assert sorted(text.state_dict()) == ["projection.bias", "projection.weight"]
    assert text.projection.weight.grad is not None


def test_bfloat16_stays_close(params):
    half = params.model_copy(update={"precision": "bfloat16"}).build(width=16)
    exact = params.build(width=16)
    got, wanted = half(half.prepare(["a red house"])).tokens, exact(exact.prepare(["a red house"])).tokens
    assert got.dtype == torch.float32
    assert 0 < (got - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_t5_is_transformers_own(t5_folder):
    torchvision_compat.make_importable()
    from transformers import AutoTokenizer, T5EncoderModel

    inputs = AutoTokenizer.from_pretrained(t5_folder)(
        SENTENCES, padding="max_length", max_length=40, return_tensors="pt"
    )
    wanted = T5EncoderModel.from_pretrained(t5_folder)(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask
    ).last_hidden_state
    text = T5.Params(model=str(t5_folder), dim=32, max_tokens=40).build(width=16)
    condition = text(text.prepare(SENTENCES))
    longest = condition.mask.shape[1]
    assert torch.equal(condition.mask, inputs.attention_mask[:, :longest].bool())
    torch.testing.assert_close(condition.tokens[condition.mask], wanted[:, :longest][condition.mask], rtol=0, atol=1e-5)


def test_byt5_reads_bytes(t5_folder, tmp_path):
    from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

    T5EncoderModel(T5Config(vocab_size=384, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(
        tmp_path
    )
    ByT5Tokenizer().save_pretrained(tmp_path)
    text = T5.Params(model=str(tmp_path), dim=16, max_tokens=16).build(width=16)
    assert text(text.prepare(["a red house"])).mask.sum() == len(b"a red house") + 1


def test_pooled_clip_is_open_clips_own(clip_folder):
    torchvision_compat.make_importable()
    import open_clip

    model = open_clip.create_model(f"local-dir:{clip_folder}").eval()
    wanted = model.encode_text(open_clip.SimpleTokenizer(context_length=20)(SENTENCES))
    params = ClipText.Params(model=str(clip_folder), gives="pooled", max_tokens=16).resolved(DIGITS)
    text = params.build(width=16)
    assert (params.dim, params.context_dim, params.context_tokens) == (24, None, 0)
    condition = text(text.prepare(SENTENCES))
    assert condition.tokens is None
    torch.testing.assert_close(condition.vector, text.to_vector(wanted), rtol=0, atol=1e-5)


def test_captions_are_cut_before_their_end(params):
    text = params.model_copy(update={"max_tokens": 5}).build(width=16)
    whole = params.build(width=16)
    row, full = text.prepare([SENTENCES[0]])[0], whole.prepare([SENTENCES[0]])[0]
    assert row[:4].tolist() == full[:4].tolist()
    assert row[4] == full[full >= 0][-1]


def test_a_missing_encoder_says_what_to_fetch_and_where_it_goes():
    with pytest.raises(MissingDependencyError) as caught:
        T5.Params(model="nobody/t5").resolved(DIGITS)
    message = str(caught.value)
    assert "hf download nobody/t5" in message
    assert "huggingface" in message
    assert "\n" not in message
    with pytest.raises(MissingDependencyError, match="hf download nobody/nothing"):
        ClipText.Params(model="nobody/nothing").resolved(DIGITS)


def test_an_unread_encoder_can_still_be_planned_by_its_known_width():
    assert T5.Params().context_dim == 2048
    assert T5.Params().build(width=16).state_dict() == {}
    with pytest.raises(UsageError, match="needs 'dim'"):
        T5.Params(model="some/where").build(width=16).params.context_dim  # noqa: B018


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_an_incomplete_folder_is_named(lacking, t5_folder, tmp_path):
    folder = tmp_path / "t5"
    shutil.copytree(t5_folder, folder)
    (folder / lacking).unlink()
    with pytest.raises(MissingInputError, match=r"holds no "):
        T5.Params(model=str(folder)).resolved(DIGITS)


def test_other_files_than_the_runs_are_refused(t5_folder, tmp_path):
    recorded = T5.Params(model=str(t5_folder)).resolved(DIGITS)
    folder = tmp_path / "t5"
    shutil.copytree(t5_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dropout_rate": 0.2}))
    moved = recorded.model_copy(update={"model": str(folder)}).build(width=16)
    with pytest.raises(DataError, match="other hash"):
        moved.prepare(["a red house"])
    with pytest.raises(DataError, match="gives 32 channels, not 64"):
        T5.Params(model=str(t5_folder), dim=64).resolved(DIGITS)


def test_damaged_files_are_named(t5_folder, clip_folder, sentence_folder, tmp_path):
    for source, weights, params in (
        (t5_folder, "model.safetensors", T5.Params(model="", dim=32)),
        (clip_folder, "open_clip_model.safetensors", ClipText.Params(model="", dim=32, max_tokens=20)),
        (sentence_folder, "model.safetensors", Sentence.Params(model="", dim=32, max_tokens=20)),
    ):
        folder = tmp_path / source.name
        shutil.copytree(source, folder)
        content = (folder / weights).read_bytes()
        (folder / weights).write_bytes(content[: len(content) // 2])
        text = params.model_copy(update={"model": str(folder)}).build(width=16)
        with pytest.raises(DataError, match="cannot be read"):
            text(text.prepare(["a red house"]))
    (tmp_path / "t5" / "config.json").write_text("no json")
    with pytest.raises(DataError, match="is not the configuration of a T5"):
        T5.Params(model=str(tmp_path / "t5")).resolved(DIGITS)


def test_a_longer_limit_than_the_towers_is_refused(clip_folder):
    text = ClipText.Params(model=str(clip_folder), dim=32, max_tokens=30).build(width=16)
    with pytest.raises(DataError, match="reads 20 tokens, not 30"):
        text(text.prepare(["a red house"]))


def test_a_pooled_caption_takes_no_projection():
    with pytest.raises(ValueError, match="is for tokens"):
        ClipText.Params(gives="pooled", project=8)
