"""``pixelflow export dpg``."""

from __future__ import annotations

from pixelflow.cli.exporting import exporting

export_dpg = exporting("dpg", "pixelflow.generation.exports.dpg:DPGBench")
