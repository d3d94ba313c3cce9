"""Data sets. Each element is read by index, augmented with the randomness it is handed."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.data.captioned_folder import CaptionedFolder
    from pixelflow.data.digits import Digits
    from pixelflow.data.hf_dataset import HfDataset
    from pixelflow.data.image_folder import ImageFolder
    from pixelflow.data.npz import Npz
    from pixelflow.data.parquet import Parquet
    from pixelflow.data.shapes.dataset import Shapes
    from pixelflow.data.shapes.metric import ShapesJudge
    from pixelflow.data.tar_shards import TarShards
    from pixelflow.data.web_shards import WebShards

    return [Digits, ImageFolder, CaptionedFolder, TarShards, WebShards, HfDataset, Parquet, Npz, Shapes, ShapesJudge]
