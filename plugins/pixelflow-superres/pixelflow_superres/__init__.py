"""Super-resolution for pixelflow: data with small copies of their images, and a conditioner that reads these."""

from pixelflow import hookimpl
from pixelflow.core.component import Component
from pixelflow.core.kinds import Kind


@hookimpl
def register_kinds() -> list[Kind]:
    return [
        Kind(
            name="superres.lowering",
            title="makes the small copy",
            interface="pixelflow_superres.lowering:Lowering",
            slot="data.lowering=NAME",
            checks=("pixelflow_superres.lowering:lowers",),
            page="README.md of pixelflow-superres",
            skeleton="pixelflow_superres.pick",
        )
    ]


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow_superres.lowered import Lowered
    from pixelflow_superres.lowering import Mean
    from pixelflow_superres.pick import Pick
    from pixelflow_superres.pixels import Pixels

    return [Lowered, Pixels, Mean, Pick]
