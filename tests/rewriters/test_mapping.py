"""Prompts rewritten from a file."""

from __future__ import annotations

import json

import pytest
import torch

from pixelflow.rewriters.mapping import Mapping
from pixelflow.system.errors import DataError, MissingInputError

LINES = [{"prompt": "a dog", "rewritten": "a brown dog"}, {"prompt": "Würfel", "rewritten": "zwölf rote Würfel"}]


def mapping(file, **changes) -> Mapping:
    return Mapping.Params(file=file, **changes).build(device=torch.device("cpu"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rewritten.jsonl"
    path.write_text("\ufeff" + "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in LINES), "utf-8")
    return path


def test_looks_prompts_up(file):
    assert mapping(file).rewrite(["Würfel", "a dog", "a dog"]) == ["zwölf rote Würfel", "a brown dog", "a brown dog"]


def test_what_the_file_lacks_is_refused_or_kept(file):
    with pytest.raises(DataError, match=r"lacks 2 of 3 prompts, the first: 'a cat'.*missing: keep"):
        mapping(file).rewrite(["a cat", "a dog", "an owl"])
    assert mapping(file, missing="keep").rewrite(["a cat", "a dog"]) == ["a cat", "a brown dog"]


def test_another_file_has_another_fingerprint(file):
    before = mapping(file).fingerprint
    file.write_text(file.read_text("utf-8") + "\n", "utf-8")
    assert mapping(file).fingerprint != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "a", "rewritten": "b"}\nnonsense', r"jsonl:2: is no JSON object"),
        (b'{"prompt": "a"}', r"jsonl:1: is no JSON object"),
        (b'{"prompt": "a", "rewritten": 3}', r"jsonl:1: is no JSON object"),
        (b"[" * 100_000, r"jsonl:1: is no JSON object"),
        (b"caf\xe9", r"is not UTF-8 text \(byte 3\)"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        mapping(tmp_path / "bad.jsonl").rewrite(["a"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere"):
        mapping(tmp_path / "nowhere").rewrite(["a"])
