"""``pixelflow validate``."""

from __future__ import annotations

from pixelflow.cli.arguments import Overrides, SpecFile, read_spec
from pixelflow.system.terminal import tell


def validate(spec: SpecFile, overrides: Overrides = None) -> None:
    """Check a spec. Says ok, or names every problem with its line and cure."""
    from pixelflow.core.spec_files import summary_of

    tell(summary_of(read_spec(spec, overrides)))
