"""Prompts rewritten beforehand, from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from pixelflow.core.interfaces import Rewriter
from pixelflow.system.errors import DataError
from pixelflow.system.files import read_bytes

_LARGEST = 1 << 28
"""Bytes of the file."""


class Mapping(Rewriter):
    """Looks prompts up in JSON lines: ``{"prompt": "a dog", "rewritten": "a photo of a brown dog on a lawn"}``."""

    class Params(Rewriter.Params):
        type: Literal["mapping"] = "mapping"
        file: Path
        """UTF-8, one JSON object a line."""
        missing: Literal["refuse", "keep"] = "refuse"
        """What becomes of a prompt that the file does not have."""

    params: Params

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        lacking = [prompt for prompt in prompts if prompt not in self._rewritten]
        if lacking and self.params.missing == "refuse":
            raise DataError(
                f"mapping: {self.params.file} lacks {len(lacking)} of {len(prompts)} prompts, the first: "
                f"{lacking[0]!r}; add them, or set 'missing: keep'"
            )
        return [self._rewritten.get(prompt, prompt) for prompt in prompts]

    @cached_property
    def _content(self) -> bytes:
        return read_bytes(self.params.file.expanduser(), _LARGEST)

    @cached_property
    def _rewritten(self) -> dict[str, str]:
        try:
            lines = self._content.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"mapping: {self.params.file} is not UTF-8 text (byte {error.start})") from None
        return dict(self._pair(number, line) for number, line in enumerate(lines, 1) if line.strip())

    def _pair(self, number: int, line: str) -> tuple[str, str]:
        try:
            found: object = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        prompt, rewritten = (found.get("prompt"), found.get("rewritten")) if isinstance(found, dict) else (None, None)
        if not isinstance(prompt, str) or not isinstance(rewritten, str):
            raise DataError(f"{self.params.file}:{number}: is no JSON object with texts 'prompt' and 'rewritten'")
        return prompt, rewritten
