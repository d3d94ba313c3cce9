"""Keeping count of unreadable images: each is named once in the log, and there is a cap."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pixelflow.core.interfaces import BadSample
from pixelflow.system.errors import DataError, OutOfMemoryError
from pixelflow.system.memory import lack_of_files

logger = logging.getLogger(__name__)

_NAMED = 3
"""Unreadable images that the final error names; the log has named them all."""


class Tally:
    """The unreadable images met so far, of which `allowed` are tolerated.

    Args:
        key: the setting that holds `allowed`, for the error's advice.
    """

    def __init__(self, allowed: int, key: str) -> None:
        self.reasons: dict[str, str] = {}
        """File -> why it cannot be read."""
        self._allowed, self._key = allowed, key

    def add(self, bad: Iterable[BadSample]) -> None:
        """Count and log what is new.

        Raises:
            DataError: there are now more than allowed.
            OutOfMemoryError: the image may be fine, but the system opens no more files.
        """
        for sample in bad:
            if (lack := lack_of_files(sample.reason)) is not None:
                raise OutOfMemoryError(f"{sample.where}: {lack}")
            if sample.where not in self.reasons:
                self.reasons[sample.where] = sample.reason
                logger.warning("unreadable image %d: %s (%s)", len(self.reasons), sample.where, sample.reason)
        if len(self.reasons) > self._allowed:
            named = "; ".join(f"{where} ({reason})" for where, reason in list(self.reasons.items())[:_NAMED])
            raise DataError(
                f"{len(self.reasons)} unreadable images are more than the {self._allowed} that {self._key} allows; "
                f"the first: {named}; mend or delete them, or raise {self._key}"
            )
