"""Prompts rewritten by a real, tiny language model."""

from __future__ import annotations

import logging

import pytest
import torch

from pixelflow.rewriters.instruct import Instruct
from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError
from tests.tiny_encoders import make_chat_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_chat_model(tmp_path_factory.mktemp("models") / "chat")


def instruct(folder, **changes) -> Instruct:
    return Instruct.Params(**{"model": str(folder), "max_tokens": 6, **changes}).build(device=torch.device("cpu"))


def test_answers_are_the_models_own(folder):
    """As transformers' plain use of the model gives them, prompt by prompt."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompts = ["a red circle", "a house", "three yellow crosses on a grey background"]
    rewriter = instruct(folder, batch_size=2)
    model, tokeniser = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for prompt, answer in zip(prompts, rewriter.rewrite(prompts), strict=True):
        asked = f"<s>system: {rewriter.params.instruction}</s><s>user: {prompt}</s><s>assistant:"
        tokens = tokeniser(asked, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            whole = model.generate(**tokens, max_new_tokens=6, do_sample=False, pad_token_id=1)
        own = tokeniser.decode(whole[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer == (" ".join(own.split()) or prompt)


def test_another_instruction_is_another_answer(folder):
    first = instruct(folder, max_tokens=12).rewrite(["a red circle"])
    assert instruct(folder, max_tokens=12, instruction="Be brief and speak of dogs.").rewrite(["a red circle"]) != first


@pytest.mark.parametrize(
    ("answer", "kept"),
    [(' "a red\n circle" ', "a red circle"), (" \n", "the prompt"), ('"', '"'), ('a "red" circle', 'a "red" circle')],
)
def test_answers_are_one_line_without_quotes(folder, answer, kept, caplog):
    with caplog.at_level(logging.WARNING):
        assert instruct(folder)._or_prompt("the prompt", answer) == kept
    assert bool(caplog.records) == (kept == "the prompt")


def test_what_cannot_be_used_is_named(folder, tmp_path):
    with pytest.raises(MissingDependencyError, match="hf download nobody/chat"):
        instruct("nobody/chat").rewrite(["a"])
    with pytest.raises(MissingInputError, match="holds no"):
        instruct(tmp_path).rewrite(["a"])
    make_chat_model(tmp_path / "base", template=None)
    with pytest.raises(DataError, match="has no chat template"):
        instruct(tmp_path / "base").rewrite(["a"])
    (tmp_path / "base" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        instruct(tmp_path / "base").rewrite(["a"])


NO_SYSTEM = (
    "{% for turn in messages %}{% if turn.role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
    "<s>{{ turn.role }}: {{ turn.content }}</s>{% endfor %}<s>assistant:"
)


def test_a_template_without_a_system_turn_is_told_before_the_prompt(tmp_path):
    plain = instruct(make_chat_model(tmp_path / "plain", template=NO_SYSTEM), instruction="Be brief.")
    asked = plain._asked(plain._loaded[0], ["a house"])["input_ids"]
    assert plain._loaded[0].decode(asked[0]) == "<s>user: Be brief.\n\na house</s><s>assistant:"
    assert plain.rewrite(["a house"])


def test_a_template_that_takes_nothing_is_one_line(tmp_path):
    folder = make_chat_model(tmp_path / "odd", template="{{ raise_exception('never\n again') }}")
    with pytest.raises(DataError, match=r"chat template of .*odd cannot be used \(never\)"):
        instruct(folder).rewrite(["a house"])


def test_other_weights_have_another_fingerprint(folder, tmp_path):
    other = make_chat_model(tmp_path / "other")
    assert instruct(other).fingerprint == instruct(folder).fingerprint
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    assert instruct(other).fingerprint != instruct(folder).fingerprint
