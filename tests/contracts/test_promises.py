"""Every registered component keeps the promises of its kind; so do plugins, by ``pixelflow check-plugin``."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pixelflow import contracts
from pixelflow.contracts.checking import run
from pixelflow.core import plugins
from pixelflow.core.registry import registry
from tests.data.tables import write_tables
from tests.data.tars import write_tar
from tests.tiny_settings import make_settings

plugins.load()

SMALL = {
    "backbone dit": {"depth": 2, "heads": 2, "head_dim": 8},
    "backbone jit": {"depth": 3, "heads": 2, "head_dim": 8, "bottleneck": 6, "class_tokens": 3},
    "backbone mmdit": {"depth": 2, "heads": 2, "head_dim": 8},
    "backbone hourglass": {"depth": 2, "heads": 2, "head_dim": 8, "level_channels": (32,)},
    "extractor efficientnet_lite0": {"side": 32},
    "tracker wandb": {"mode": "offline"},
}
"""Settings where the defaults are too large to try, or ask a service."""

CASES = [
    pytest.param(kind, name, check, id=f"{kind}-{name}-{check.__name__}")
    for kind, name, entry in registry
    for check in contracts.checks_of(kind)
    if entry.origin == "pixelflow"
]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of two classes with captions, for data sets that read one."""
    folder = tmp_path_factory.mktemp("pictures")
    for label, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (folder / label).mkdir()
        for index in range(2):
            Image.linear_gradient("L").convert("RGB").resize((30 + index, 20)).save(folder / label / f"{index}.png")
            Image.new("RGB", (24, 40), colour).save(folder / label / f"plain{index}.png")
            for name in (f"{index}.txt", f"plain{index}.txt"):
                (folder / label / name).write_text(f"a {label} picture")
    np.savez(folder / "images.npz", np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8))
    files = sorted(folder.glob("*/*"))
    write_tar(folder / "all.tar", ((str(file.relative_to(folder)), file.read_bytes()) for file in files))
    write_tables(folder, files)
    return folder


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Settings of components on pretrained networks, with small ones on disk."""
    return make_settings(tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize(("kind", "name", "check"), CASES)
def test_is_kept(kind, name, check, pictures, served, networks, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(pictures / "trackio"))
    folder = {"root": str(pictures)}
    file = {"file": str(pictures / "images.npz")}
    data = {"dataset image_folder": folder, "dataset captioned_folder": folder, "dataset npz": file}
    data["dataset tar_shards"] = {"shards": str(pictures / "all.tar")}
    if name == "web_shards":
        pytest.importorskip("webdataset")
        data["dataset web_shards"] = {"shards": f"{served(pictures)}/all.tar", "cache": str(pictures / "fetched")}
    data["dataset parquet"] = {"files": str(pictures / "all.parquet")}
    data["dataset hf_dataset"] = {"path": str(pictures / "saved")}
    settings = {**data, **networks, **SMALL}
    params = registry.of_kind(kind)[name].cls.Params(**settings.get(f"{kind} {name}", {}))
    outcome = run(check, params)
    if outcome.status == "not checked":
        pytest.skip(outcome.reason)
    assert outcome.status == "kept", outcome.reason
