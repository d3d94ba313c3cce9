"""Where people watch a run: services and programs that draw curves and show pictures."""

from pixelflow.core.component import Component
from pixelflow.core.hookspecs import hookimpl


@hookimpl
def register_components() -> list[type[Component]]:
    from pixelflow.trackers.mlflow import MLflow
    from pixelflow.trackers.tensorboard import TensorBoard
    from pixelflow.trackers.trackio import Trackio
    from pixelflow.trackers.wandb import Wandb

    return [TensorBoard, Wandb, Trackio, MLflow]
