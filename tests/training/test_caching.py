"""``pixelflow cache-text``, and training from what it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import pixelflow
from pixelflow.cli.app import main
from pixelflow.conditioners import from_transformers, token_cache
from pixelflow.conditioners.frozen import FrozenText
from pixelflow.system import pretrained
from pixelflow.system.files import locked
from pixelflow.training import caching
from tests.tiny_encoders import make_clip, make_t5
from tests.training.conftest import lines_of

TEXT = """
name: text
image: {size: 16, channels: 3}
data: {type: captioned_folder, root: pictures}
cascade: {stages: 2, patch: 4}
backbone: {type: dit, depth: 1, heads: 2, head_dim: 16}
conditioners: [{type: t5, model: t5, max_tokens: 40, cache: cache}]
objective: {condition_dropout: 0.3}
training: {steps: 4, batch_size: 8, learning_rate: 1e-2, save_every: 2, log_every: 1, sample_every: 4, samples: 3}
sampling: {steps: 2, guidance: {type: constant, scale: 2.0}}
"""
CAPTIONS = ["a red circle", "a red house\na house that is red", "two dogs in the snow", "a photo of two dogs " * 6]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a spec, captioned pictures and a T5."""
    monkeypatch.chdir(tmp_path)
    Path("text.yaml").write_text(TEXT)
    Path("pictures").mkdir()
    for index in range(8):
        Image.linear_gradient("L").rotate(40 * index).convert("RGB").save(f"pictures/{index}.png")
        Path(f"pictures/{index}.txt").write_text(CAPTIONS[index % 4])
    make_t5(tmp_path / "t5")
    return tmp_path


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def stop_after_two_batches(monkeypatch) -> None:
    """As by Ctrl-C, when two batches of two captions are encoded."""
    monkeypatch.setattr(caching, "_BATCH", 2)
    monkeypatch.setattr(caching, "_SORTED", 1)
    whole, seen = FrozenText.encoded, []

    def stopped(self, rows):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(rows))
        return whole(self, rows)

    monkeypatch.setattr(FrozenText, "encoded", stopped)


def hide_encoder(monkeypatch) -> None:
    """As on a machine that never had it."""
    shutil.move("t5", "hidden")
    for cached in (from_transformers.encoder, from_transformers.tokeniser):
        cached.cache_clear()
    monkeypatch.setattr(from_transformers, "transformers_for", lambda owner: pytest.fail("transformers was asked for"))


def losses(run) -> list[float]:
    return [line["loss"] for line in lines_of(Path("runs") / run)]


def test_training_and_sampling_from_the_cache_need_no_encoder(capsys, monkeypatch):
    """The losses are those without a cache to 1e-5, relatively: the encoder saw other batches of captions."""
    assert call("train", "text.yaml", "--run", "plain", "conditioners.0.cache=null") == 0
    capsys.readouterr()
    assert call("cache-text", "text.yaml") == 0
    said = capsys.readouterr().out
    assert said.startswith("t5: 6 captions (6 new) of 8 elements; 1 of the new were too long and cut; ")
    assert "times faster" in said
    hide_encoder(monkeypatch)
    assert call("train", "text.yaml", "--run", "cached") == 0
    assert losses("cached") == pytest.approx(losses("plain"), rel=1e-5)
    run = pixelflow.load("runs/cached")
    drawn = run.sample(prompts=["a red circle", "two dogs in the snow"])
    assert drawn.shape == (2, 3, 16, 16)
    assert not run.sample(prompts=["a red circle", "two dogs in the snow"], negatives="a red house").equal(drawn)
    capsys.readouterr()
    assert call("sample", "runs/cached", "--prompt", "a blue circle") == 69
    error = capsys.readouterr().err
    assert "lacks the caption 'a blue circle', and t5: t5 is not on this machine" in error
    assert error.count("pixelflow: ") == 1


def test_a_run_goes_on_with_a_cache_that_it_began_without():
    assert call("train", "text.yaml", "conditioners.0.cache=null", "training.steps=2") == 0
    assert call("cache-text", "text.yaml") == 0
    assert call("train", "text.yaml") == 0
    assert len(losses("text")) == 4


def test_a_kill_costs_no_finished_shard(monkeypatch, capsys):
    monkeypatch.setattr(caching, "_SHARD_BYTES", 1)
    whole = FrozenText.encoded
    stop_after_two_batches(monkeypatch)
    assert call("cache-text", "text.yaml") == 130
    (kept,) = Path("cache").iterdir()
    assert len(token_cache.TokenCache(kept)) == 4
    (kept / ".0123.safetensors.99.part").write_bytes(b"half a shard")
    monkeypatch.setattr(FrozenText, "encoded", whole)
    assert call("cache-text", "text.yaml") == 0
    assert "t5: 6 captions (2 new)" in capsys.readouterr().out
    assert not list(kept.glob(".*.part"))
    assert call("cache-text", "text.yaml") == 0
    assert "t5: 6 captions (0 new) of 8 elements; " in capsys.readouterr().out


@pytest.mark.parametrize(("every", "kept"), [(120.0, 4), (0.0, 2)])
def test_a_stop_writes_what_is_encoded_and_time_alone_makes_shards(monkeypatch, every, kept):
    """Ctrl-C loses nothing; where even the last write fails, as with a kill, what time made a shard of is there."""
    monkeypatch.setattr(caching, "_SHARD_SECONDS", every)
    write, shards = token_cache.write_shard, []
    stop_after_two_batches(monkeypatch)

    def written(folder, states):
        shards.append(len(states))
        if len(shards) == 2:
            raise SystemExit(137)
        write(folder, states)

    monkeypatch.setattr(token_cache, "write_shard", written)
    assert call("cache-text", "text.yaml") == (137 if every == 0 else 130)
    (folder,) = Path("cache").iterdir()
    assert len(token_cache.TokenCache(folder)) == kept


def test_unreadable_captions_are_counted(capsys):
    Path("pictures/3.txt").write_bytes(b"caf\xe9")
    Path("pictures/4.txt").write_text(" \n")
    assert call("cache-text", "text.yaml") == 0
    assert "2 elements have no readable caption" in capsys.readouterr().out


def test_other_files_and_other_settings_have_a_cache_of_their_own(capsys):
    assert call("cache-text", "text.yaml") == 0
    assert call("cache-text", "text.yaml", "conditioners.0.max_tokens=20") == 0
    Path("t5/config.json").write_text(json.dumps({**json.loads(Path("t5/config.json").read_text()), "note": 1}))
    assert call("cache-text", "text.yaml") == 0
    assert capsys.readouterr().out.count("(6 new)") == 3
    hashes = [one["sha256"] for one in token_cache.encoders(Path("cache"))]
    assert len(hashes) == 3
    assert len(set(hashes)) == 2
    assert call("train", "text.yaml", "training.steps=1") == 0
    assert pretrained.fingerprint(Path("t5")) in Path("runs/text/spec.yaml").read_text()


def test_two_encoders_are_cached_side_by_side(monkeypatch, capsys):
    make_clip(Path("clip"))
    both = (
        "conditioners=[{type: t5, model: t5, max_tokens: 40, cache: cache, project: 24}, "
        "{type: clip_text, model: clip, max_tokens: 20, cache: cache, project: 24}]"
    )
    assert call("train", "text.yaml", both, "--run", "plain", *(f"conditioners.{n}.cache=null" for n in (0, 1))) == 0
    capsys.readouterr()
    assert call("cache-text", "text.yaml", both) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["t5", "clip_text"]
    shutil.move("clip", "hidden_clip")
    hide_encoder(monkeypatch)
    assert call("train", "text.yaml", both, "--run", "cached") == 0
    assert losses("cached") == pytest.approx(losses("plain"), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("conditioners.0.cache=null", 2, "text: set 'cache' of the conditioner t5 to a folder"),
        (
            "conditioners=[bytes]",
            2,
            "text: has no frozen text encoder (t5, clip_text, sentence",
        ),
        ("conditioners.0.model=nobody/t5", 69, "hf download nobody/t5"),
        ("conditioners.0.cache=text.yaml", 73, "cannot be written"),
    ],
)
def test_what_cannot_be_cached_is_said_in_one_line(capsys, change, code, message):
    assert call("cache-text", "text.yaml", change) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("pixelflow: ") == 1


def test_one_process_at_a_time_fills_a_cache(capsys):
    assert call("cache-text", "text.yaml") == 0
    (own,) = Path("cache").iterdir()
    with locked(own, "busy"):
        assert call("cache-text", "text.yaml") == 2
    assert "another process fills this cache" in capsys.readouterr().err


def test_bfloat16_takes_half_the_disk(capsys):
    assert call("cache-text", "text.yaml") == 0
    assert call("cache-text", "text.yaml", "conditioners.0.precision=bfloat16") == 0
    sizes = []
    for own in Path("cache").iterdir():
        states = token_cache.TokenCache(own)
        sizes.append(states.read(torch.tensor([0]))[0].element_size())
    assert sorted(sizes) == [2, 4]
