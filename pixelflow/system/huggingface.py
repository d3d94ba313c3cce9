"""The one seam to the package transformers."""

from __future__ import annotations

from types import ModuleType

from pixelflow.system import torchvision_compat
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError


def transformers_for(owner: str) -> ModuleType:
    """The package, silenced; it imports torchvision where it finds it.

    Args:
        owner: the component that needs it, for the error.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        torchvision_compat.make_importable()
        import transformers
    except ImportError:
        raise MissingDependencyError(f"{owner} needs the package transformers: {install('t5')}") from None
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    package: ModuleType = transformers
    return package
