"""What the server of `tests.processes` imports before it forks: pixelflow whole, and what commands import late.

No plugin is loaded and no component registered by that. As in `tests.conftest`, a training draws no ``loss.png``.
"""

import contextlib
import gc
import importlib
import pkgutil

import PIL.Image

import pixelflow
from pixelflow.cli import app
from pixelflow.training.curves import Curves

gc.disable()  # all that is made here stays
for _module in pkgutil.walk_packages(pixelflow.__path__, "pixelflow."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)

for _name in (
    "einops._torch_specific", "hypothesis", "matplotlib.backends.backend_agg", "matplotlib.figure", "pytest",
    "scipy.linalg", "scipy.ndimage", "scipy.special", "sklearn.datasets", "sklearn.svm", "torch._dynamo",
    "torchdiffeq", "typer._adapters", "typer._click.decorators",
):  # fmt: skip
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)

PIL.Image.init()
app._whole()
Curves.draw = lambda curves: None  # type: ignore[method-assign]
gc.freeze()
gc.enable()
