"""Captioned images as a Parquet file and as a Hugging Face data set on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets

datasets.disable_progress_bars()


def write_tables(folder: Path, files: Sequence[Path]) -> None:
    """``all.parquet`` and ``saved``, from the images among `files`, their captions and their folders as labels."""
    images = [file for file in files if file.suffix == ".png"]
    table = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": file.read_bytes(), "path": file.name} for file in images],
            "text": [file.with_suffix(".txt").read_text() for file in images],
            "label": [file.parent.name for file in images],
        }
    )
    table.to_parquet(folder / "all.parquet", batch_size=4)
    table.save_to_disk(folder / "saved")
