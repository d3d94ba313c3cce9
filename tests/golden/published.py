"""A recording of the release, written as the folder that its authors publish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import yaml


def publish(folder: Path, values: Mapping[str, np.ndarray]) -> Path:
    """Write the weights and the configuration of a recording (see tests/golden/conftest.py)."""
    config = json.loads(str(values["config"]))
    folder.mkdir()
    scheduler = {key: config[key] for key in ("num_train_timesteps", "num_stages", "gamma")}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"params": config["model"]}, "scheduler": scheduler}))
    state = {key.removeprefix("weights/"): values[key] for key in values if key.startswith("weights/")}
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, folder / "model.pt")
    return folder
