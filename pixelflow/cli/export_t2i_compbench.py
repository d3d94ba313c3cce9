"""``pixelflow export t2i-compbench``."""

from __future__ import annotations

from pixelflow.cli.exporting import exporting

export_t2i_compbench = exporting("t2i-compbench", "pixelflow.generation.exports.t2i_compbench:T2ICompBench")
