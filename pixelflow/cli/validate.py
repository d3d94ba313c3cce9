"""``pixelflow validate``."""

from __future__ import annotations

from pixelflow.cli.arguments import Overrides, SpecFile, read_spec
from pixelflow.system.terminal import tell


def validate(spec: SpecFile, overrides: Overrides = None) -> None:
    """Check a spec. Says ok, or names every problem with its line and cure."""
    checked = read_spec(spec, overrides)
    height, width = checked.image.size
    stages, patches = checked.stages, "/".join(str(patch) for patch in dict.fromkeys(checked.patches))
    tell(
        f"ok: {checked.name}, {height}x{width} pixels, {stages} stage{'s' * (stages > 1)}, patch {patches}, "
        f"{checked.backbone.component.type_name()} on {checked.data.component.type_name()}"
    )
