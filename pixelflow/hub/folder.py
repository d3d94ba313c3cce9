"""The folder as which a model is given to others: weights, spec, card, grid, and the code by which diffusers draws."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelflow.core import reading
from pixelflow.core.absent import Absent
from pixelflow.core.assembly import build_cascade, build_network
from pixelflow.core.component import components
from pixelflow.core.model import FlowModel
from pixelflow.core.plugin_use import used
from pixelflow.core.spec import ExperimentSpec
from pixelflow.evaluation import records
from pixelflow.generation.gallery import RECORD, read_order
from pixelflow.hub.card import card
from pixelflow.hub.code import drawing_code, package_name
from pixelflow.runs import checkpoint
from pixelflow.runs.history import Step
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.weight_file import TrainedWeights
from pixelflow.runs.weights import PARTS, load_weights
from pixelflow.system.errors import CannotWriteError, MissingInputError, PixelflowError, UsageError
from pixelflow.system.files import draft_of, write_bytes, write_text, writing

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
CARD, SPEC, GRID = "README.md", "spec.yaml", "grid.png"
_MODELING, _PIPELINE = "modeling_pixelflow.py", "pipeline.py"
_PREFIX = "model."
"""Before the names of tensors: diffusers' model holds ours."""
_DIFFUSERS = "0.42.1"
"""The version that this was tried with."""


@dataclass(frozen=True)
class PublishedFolder:
    """What was written."""

    path: Path
    step: int
    has_code: bool
    """Whether diffusers opens it."""
    grid: Path | None
    """The picture of the run that went along."""


def foreign_parts(spec: ExperimentSpec) -> list[str]:
    """The plugins' components that a spec draws with, as ``kind name``; their code is not exported."""
    drawn_with = (spec.cascade, spec.backbone, spec.conditioners, spec.prediction, spec.sampling)
    missing = [f"{one._kind} {one.type}" for one in components(*drawn_with) if isinstance(one, Absent)]
    return [*missing, *(name for names in used(*drawn_with).values() for name in names)]


def write_folder(
    run: RunFolder,
    target: Path,
    *,
    step: Step | None = None,
    weights: str = "ema",
    address: str | None = None,
    licence: str | None = None,
    with_code: bool = True,
) -> PublishedFolder:
    """Write the folder of one checkpoint, whole or not at all.

    Args:
        address: ``user/name`` on the Hub, for the card; None for a folder that goes elsewhere.
        licence: an identifier such as ``mit``, for the card.
        with_code: whether diffusers is to open it.

    Raises:
        UsageError: diffusers is to open it, and it draws with components of plugins.
        MissingInputError, DataError: the checkpoint is not there, or damaged.
        CannotWriteError: something is there already, or the system refuses.
    """
    model = TrainedWeights.of(run, run.step_of(step), weights)
    foreign = foreign_parts(model.spec)
    if with_code and foreign:
        raise UsageError(
            f"{run.path}: draws with {', '.join(foreign)}, whose code is a plugin's and is not exported; "
            "pixelflow push or export-weights gives the weights alone"
        )
    if target.exists():
        raise CannotWriteError(f"{target}: is there already; choose another name or remove it")
    grid, figures = _grid(run, model), records.figures(run.evaluations, model.step, model.weights)
    text = card(model, figures, address=address, licence=licence, grid=grid is not None, code=with_code)
    draft = draft_of(target)
    with writing(target):
        try:
            (draft / WEIGHTS).parent.mkdir(parents=True)
            model.write(draft / WEIGHTS, _PREFIX)
            write_text(draft / SPEC, reading.dump(model.spec))
            write_text(draft / CARD, text)
            if grid is not None:
                shutil.copyfile(grid, draft / GRID)
            if with_code:
                _write_code(draft, model)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return PublishedFolder(target, model.step, with_code, grid)


def _write_code(folder: Path, model: TrainedWeights) -> None:
    """What diffusers reads beside the weights."""
    files = drawing_code()
    for place, text in files.items():
        (folder / "pixelflow" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pixelflow" / place).write_text(text, "utf-8")
    own = Path(__file__).parent / "exported"
    write_bytes(folder / _PIPELINE, (own / _PIPELINE).read_bytes())
    write_bytes(folder / "transformer" / _MODELING, (own / _MODELING).read_bytes())
    config = {
        "_class_name": "PixelFlowTransformer",
        "_diffusers_version": _DIFFUSERS,
        "code": package_name(files),
        "spec": model.spec.model_dump(mode="json"),
    }
    index: dict[str, object] = {
        "_class_name": ["pipeline", "PixelFlowPipeline"],
        "_diffusers_version": _DIFFUSERS,
        "id2label": {str(number): name for number, name in enumerate(model.classes)},
        "pixelflow": [None, None],  # so that the folder is fetched along
        "transformer": ["modeling_pixelflow", "PixelFlowTransformer"],
    }
    write_text(folder / "transformer" / "config.json", json.dumps(config, indent=1))
    write_text(folder / "model_index.json", json.dumps(index, indent=1))


def check_is_of(folder: Path, run: RunFolder, step: Step | None, weights: str) -> None:
    """See that a folder that was written before holds these very weights, before it is given to others.

    Raises:
        UsageError: the run was trained further since, or another checkpoint is asked for.
        MissingInputError, DataError, SpecError: as `import_folder` and `write_folder`.
    """
    there, here = TrainedWeights.read(folder / WEIGHTS, _PREFIX), TrainedWeights.of(run, run.step_of(step), weights)
    is_same = there.tensors.keys() == here.tensors.keys() and all(
        torch.equal(tensor, here.tensors[name]) for name, tensor in there.tensors.items()
    )
    if not is_same:
        raise UsageError(
            f"{folder}: holds the {there.weights} weights of step {there.step}, and not the {here.weights} ones "
            f"of step {here.step}; remove it, or name what it holds by --step and --weights"
        )


def _grid(run: RunFolder, model: TrainedWeights) -> Path | None:
    """The newest picture of images that these weights drew: of ``pixelflow sample``, else of the training."""
    drawn = [file for file in run.samples.glob("drawn*/grid.png") if _is_drawn_by(model, file.with_name(RECORD))]
    if model.weights == "ema":
        drawn = drawn or [file for file in [run.samples / f"step-{model.step:08d}.png"] if file.is_file()]
    return max(drawn, key=lambda file: file.stat().st_mtime, default=None)


def _is_drawn_by(model: TrainedWeights, record: Path) -> bool:
    """Whether a record tells of images that these weights made, and of nothing that they were made from."""
    try:
        order = read_order(record)
    except PixelflowError:
        return False
    return (order.source.step, order.source.weights, order.edit) == (model.step, model.weights, None)


def import_folder(source: Path, target: Path, origin: str) -> TrainedWeights:
    """Make a run of such a folder, or of the file that ``export-weights`` writes.

    Args:
        origin: where it is from, for the run's record.

    Raises:
        MissingInputError: there are no such weights.
        DataError: they are damaged, or do not fit their spec.
        SpecError: the spec does not validate.
        CannotWriteError: the target is there already, or the system refuses.
    """
    file = source / WEIGHTS if source.is_dir() else source
    if not file.is_file():
        wanted = f"holds no {WEIGHTS}" if source.is_dir() else "there is no such file or folder"
        raise MissingInputError(f"{source}: {wanted}; give what pixelflow push or export-weights has written")
    model = TrainedWeights.read(file, _PREFIX)
    if not any(isinstance(one, Absent) for one in components(model.spec)):
        _check_fits(model, file)
    run = RunFolder.create(target, model.spec, model.classes)
    try:
        parts = {PARTS.get(model.weights, "ema"): model.tensors}
        checkpoint.save(run.checkpoints, model.step, parts, {"imported_from": origin}, keep=1)
    except BaseException:
        shutil.rmtree(run.path)
        raise
    return model


def _check_fits(model: TrainedWeights, file: Path) -> None:
    """Raise DataError if names or shapes are not those of the spec's model; nothing is allocated for it."""
    cascade = build_cascade(model.spec)
    with torch.device("meta"):
        empty = FlowModel(cascade, *build_network(model.spec), model.spec.prediction.build())
    load_weights(empty, model.tensors, str(file))
