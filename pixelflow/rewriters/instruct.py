"""Prompts rewritten by an instruction-tuned language model on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from pixelflow.core.interfaces import Rewriter
from pixelflow.system import pretrained
from pixelflow.system.errors import DataError, first_line
from pixelflow.system.huggingface import transformers_for

_FILES = ("config.json", "*.safetensors", "tokenizer*.json")

logger = logging.getLogger(__name__)


class Instruct(Rewriter):
    """Asks a causal language model in its own chat format, through transformers; always takes the likeliest word."""

    class Params(Rewriter.Params):
        type: Literal["instruct"] = "instruct"
        model: str = "Qwen/Qwen2.5-7B-Instruct"
        """A name on the Hugging Face hub, or a folder. Nothing is downloaded: fetch it beforehand."""
        instruction: str = (
            "You write prompts for a text-to-image model. Rewrite the user's prompt as one detailed English sentence. "
            "Keep every object, number, colour and position that it names, and add only how things look. "
            "Answer with the new prompt alone."
        )
        """What the model is told before each prompt."""
        max_tokens: int = Field(default=128, ge=1)
        """Longest answer; the rest is cut off."""
        batch_size: int = Field(default=8, ge=1)
        """Prompts at a time."""
        precision: Literal["float32", "bfloat16"] = "float32"
        """Of the model's weights and arithmetic."""

    params: Params

    @cached_property
    def _folder(self) -> Path:
        return pretrained.folder_of(self.params.model, self.type_name(), _FILES)

    @property
    def fingerprint(self) -> str:
        return pretrained.fingerprint(self._folder)

    @property
    def at_a_time(self) -> int:
        return self.params.batch_size

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        tokeniser, model = self._loaded
        size = self.params.batch_size
        parts = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        answers = [answer for part in parts for answer in self._answers(tokeniser, model, part)]
        return [self._or_prompt(*pair) for pair in zip(prompts, answers, strict=True)]

    @torch.no_grad()
    def _answers(self, tokeniser: Any, model: Any, prompts: Sequence[str]) -> list[str]:
        asked = self._asked(tokeniser, prompts).to(self.device)
        tokens = model.generate(
            input_ids=asked["input_ids"],
            attention_mask=asked["attention_mask"],
            max_new_tokens=self.params.max_tokens,
            do_sample=False,
            pad_token_id=tokeniser.pad_token_id,
        )
        own = tokens[:, asked["input_ids"].shape[1] :]
        answers: list[str] = tokeniser.batch_decode(own, skip_special_tokens=True)
        return answers

    def _asked(self, tokeniser: Any, prompts: Sequence[str]) -> Any:
        """The prompts in the model's chat format; the instruction as a system turn, or before it where there is none.

        Raises:
            DataError: the model's chat template takes neither.
        """
        told = self.params.instruction
        with_system = [[_turn("system", told), _turn("user", prompt)] for prompt in prompts]
        without = [[_turn("user", f"{told}\n\n{prompt}")] for prompt in prompts]
        for chats in (with_system, without):
            try:
                return tokeniser.apply_chat_template(
                    chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
                )
            except Exception as error:  # templates are programs of their own, and raise what they like
                reason = first_line(error)
        raise DataError(f"instruct: the chat template of {self._folder} cannot be used ({reason})")

    def _or_prompt(self, prompt: str, answer: str) -> str:
        """The answer on one line, without quotes around it; the prompt itself where there is none."""
        text = " ".join(answer.split())
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1].strip()
        if not text:
            logger.warning("instruct: no answer to %r; it stays as it is", prompt)
        return text or prompt

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer, which pads on the left so that answers begin together, and the model."""
        folder, library = self._folder, transformers_for("instruct")
        try:
            tokeniser = library.AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
            model = library.AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=getattr(torch, self.params.precision)
            )
        except Exception as error:
            raise DataError(f"instruct: the model in {folder} cannot be read ({first_line(error)})") from None
        if tokeniser.chat_template is None:
            raise DataError(f"instruct: the model in {folder} has no chat template; choose an instruction-tuned one")
        tokeniser.pad_token = tokeniser.pad_token or tokeniser.eos_token
        return tokeniser, model.to(self.device).eval()


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
