"""A PixelFlow model for diffusers: its weights, and the code in the folder ``pixelflow`` that draws with them."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# What that code needs beyond diffusers' own requirements; diffusers names what is missing before anything is loaded.
import einops
import filelock
import pluggy
import pydantic
import yaml
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

__all__ = ["PixelFlowTransformer", "einops", "filelock", "pluggy", "pydantic", "yaml"]


class PixelFlowTransformer(ModelMixin, ConfigMixin):
    """The network and its conditioners, in the cascade of the spec that they were trained by."""

    @register_to_config
    def __init__(self, spec: dict[str, object], code: str) -> None:
        """Build the model of a spec.

        Args:
            spec: as ``spec.yaml`` has it.
            code: the name under which the folder ``pixelflow`` is imported; `from_pretrained` does that.
        """
        super().__init__()
        self.code = code
        self.spec = self.module("core.spec").ExperimentSpec.model_validate(spec)
        self.model = self.module("core.assembly").build_model(self.spec)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """As all models of diffusers, with the code imported before."""
        folder = Path(pretrained_model_name_or_path)
        subfolder = options.get("subfolder") or ""
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            known = ("revision", "cache_dir", "token", "local_files_only")
            kept = {key: options[key] for key in known if key in options}
            folder = Path(snapshot_download(str(pretrained_model_name_or_path), **kept))
        config = json.loads((folder / subfolder / "config.json").read_text("utf-8"))
        _import(config["code"], (folder / subfolder).parent / "pixelflow")
        loaded = super().from_pretrained(folder, **options)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        aligned = model.module("runs.weights").aligned
        for parameter in model.parameters():
            parameter.data = aligned(parameter.data)
        return loaded

    def module(self, name: str) -> ModuleType:
        """A module of the exported code, such as ``generation.run``."""
        return importlib.import_module(f"{self.code}.{name}")


def _import(name: str, folder: Path) -> None:
    """Import the package in a folder under a name of its own, so that no installed pixelflow is in its way."""
    if name in sys.modules:
        return
    places = [str(folder)]
    found = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=places)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
