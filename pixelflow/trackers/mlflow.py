"""MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from pixelflow.core.interfaces import Tracker
from pixelflow.system import decoding
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError
from pixelflow.trackers.identity import identity

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MLflow(Tracker):
    """MLflow, on a server or in files; ``mlflow ui --backend-store-uri FOLDER`` shows the latter."""

    class Params(Tracker.Params):
        type: Literal["mlflow"] = "mlflow"
        uri: str | None = None
        """Address of a tracking server or store; null for files in the run's folder ``mlflow``."""
        experiment: str = "pixelflow"
        """Experiment that the run belongs to."""

    params: Params
    _client: MlflowClient
    _id: str

    def begin(self, spec: Mapping[str, JsonValue], step: int) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer releases want to be asked for files
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise MissingDependencyError(f"the tracker mlflow needs the package mlflow: {install('mlflow')}") from None
        self._client = MlflowClient(self.params.uri or (self.folder / "store").resolve().as_uri())
        self._id = identity(self.folder, self._new_run)
        self._client.update_run(self._id, status="RUNNING")
        self._client.log_dict(self._id, dict(spec), "spec.json")

    def _new_run(self) -> str:
        known = self._client.get_experiment_by_name(self.params.experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self.params.experiment)
        return str(self._client.create_run(experiment, run_name=self.run).info.run_id)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def pictures(self, step: int, files: Mapping[str, Path]) -> None:
        for name, file in files.items():
            self._client.log_image(self._id, decoding.read(file, 3), key=name, step=step)

    def end(self) -> None:
        self._client.set_terminated(self._id)
