"""Text from data and names, made fit for a terminal.

Escape sequences, line breaks within a name, characters that turn the direction of writing and bytes that are no text
are shown as Python writes them (``\\x1b``, ``\\n``, ``\\u202e``).
"""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """`text` on one line, with what is not printable written out; doing so twice changes nothing more."""
    return text if text.isprintable() else "".join(one if _is_harmless(one) else _written_out(one) for one in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _written_out(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
