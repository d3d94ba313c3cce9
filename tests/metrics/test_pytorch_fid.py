"""pytorch_fid reads the published state dict's form, and measures what clean-fid's mode legacy_pytorch does."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.contracts.partners import Held
from pixelflow.core.interfaces import ImageBatch
from pixelflow.metrics.fids import PytorchFid
from pixelflow.metrics.inception_pytorch import PT_INCEPTION, PytorchInception, build
from pixelflow.system import torchvision_compat
from pixelflow.system.errors import DataError, MissingDependencyError

CPU = torch.device("cpu")
IMAGES = Held(*([ImageBatch(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)))] for seed in (0, 1)))


def settings(path: Path) -> dict[str, str]:
    return {"weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_missing_file_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingDependencyError) as error:
        PytorchFid(PytorchFid.Params(), device=CPU).compute(IMAGES)
    for part in (PT_INCEPTION.url, PT_INCEPTION.sha256, str(tmp_path / PT_INCEPTION.name)):
        assert part in str(error.value)


def test_other_files_are_refused_and_no_code_is_run(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Path))
    for name in ("other.pth", "code.pth"):
        with pytest.raises(DataError, match="holds no weights of pytorch-fid"):
            PytorchInception(PytorchInception.Params(**settings(tmp_path / name)), device=CPU).features(
                torch.zeros(1, 3, 8, 8)
            )


@pytest.mark.slow
def test_equals_clean_fids_mode_legacy_pytorch(tmp_path, monkeypatch):
    """Both read the same file, of the published form and size, with random weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / PT_INCEPTION.name
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(build().state_dict(), file)
    torchvision_compat.make_importable()
    from cleanfid import fid

    rng = np.random.default_rng(0)
    batches = []
    for name, count in (("first", 3), ("second", 4)):
        (tmp_path / name).mkdir()
        arrays = rng.integers(0, 256, (count, 20, 28, 3), dtype=np.uint8)
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / name / f"{index}.png")
        batches.append([ImageBatch(torch.from_numpy(arrays).permute(0, 3, 1, 2) / 127.5 - 1)])
    expected = fid.compute_fid(
        str(tmp_path / "first"), str(tmp_path / "second"), mode="legacy_pytorch", num_workers=0, device=CPU,
        use_dataparallel=False, verbose=False,
    )  # fmt: skip
    found = PytorchFid(PytorchFid.Params(**settings(file)), device=CPU).compute(Held(*batches))
    assert found["fid"] == pytest.approx(expected, rel=1e-3)
