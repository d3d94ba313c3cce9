"""A Hub of our own, and diffusers with a folder of its own for the code that it imports."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pixelflow.system import torchvision_compat
from tests.hub.server import Hub, serving


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """Where huggingface_hub fetches from and uploads to."""
    pytest.importorskip("huggingface_hub", reason="pip install 'pixelflow-toolkit[hub]'")
    from huggingface_hub import constants, hf_api

    with serving() as (address, found):
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(hf_api.api, "endpoint", address)  # of what diffusers asks
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_dummy")
        yield found


@pytest.fixture(scope="session")
def diffusers(tmp_path_factory):
    """The package; it reads at its import where it may copy the code of folders to."""
    os.environ["HF_MODULES_CACHE"] = str(tmp_path_factory.mktemp("modules"))
    torchvision_compat.make_importable()
    return pytest.importorskip("diffusers", reason="pip install 'pixelflow-toolkit[diffusers]'")
