"""``pixelflow export geneval``."""

from __future__ import annotations

from pixelflow.cli.exporting import exporting

export_geneval = exporting("geneval", "pixelflow.generation.exports.geneval:GenEval")
