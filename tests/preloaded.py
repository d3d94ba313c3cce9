"""What the server of `tests.processes` imports before it forks: pixelflow whole, and what commands import late.

No plugin is loaded and no component registered by that.
"""

import contextlib
import importlib
import pkgutil

import pixelflow

for _module in pkgutil.walk_packages(pixelflow.__path__, "pixelflow."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)

for _name in (
    "hypothesis", "pytest", "scipy.linalg", "scipy.ndimage", "scipy.special", "sklearn.datasets", "sklearn.svm",
    "torch._dynamo", "torchdiffeq",
):  # fmt: skip
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)
