"""The card of a published model: what it is, how it was made and measured, and how to draw with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import yaml

from pixelflow.core.component import Settings
from pixelflow.core.fields import CAPTION
from pixelflow.core.version import __version__
from pixelflow.evaluation.records import Figures
from pixelflow.runs.weight_file import TrainedWeights
from pixelflow.system.distribution import DISTRIBUTION

_DRAWN = "text-to-image"
_UNTOLD = "unconditional-image-generation"


def card(
    model: TrainedWeights,
    figures: Figures,
    *,
    address: str | None,
    licence: str | None,
    grid: bool,
    code: bool,
) -> str:
    """The text of README.md.

    Args:
        figures: of evaluations, as `pixelflow.evaluation.records.figures` gives them.
        address: ``user/name`` on the Hub; None for a folder that goes elsewhere.
        licence: an identifier such as ``mit``; None leaves it open.
        grid: whether there is a grid.png.
        code: whether the folder brings the code along that diffusers needs.
    """
    return "\n".join(_lines(model, figures, address, licence, grid, code)) + "\n"


def _lines(
    model: TrainedWeights,
    figures: Figures,
    address: str | None,
    licence: str | None,
    grid: bool,
    code: bool,
) -> Iterator[str]:
    spec = model.spec
    height, width = spec.image.size
    reads = {getattr(params.component, "reads", "") for params in spec.conditioners}
    head: dict[str, object] = {
        "library_name": "diffusers" if code else "pixelflow",
        "pipeline_tag": _DRAWN if CAPTION.name in reads else _UNTOLD,
        "tags": ["pixelflow", "flow-matching", "pixel-space"],
        **({"license": licence} if licence else {}),
    }
    yield from ("---", _yaml(head), "---", "", f"# {_text(spec.name)}", "")
    kinds = "captions" if CAPTION.name in reads else "classes" if reads else "noise alone"
    yield (
        f"Images of {width} x {height} pixels, drawn from {kinds} by flow matching directly in pixels, through "
        f"{spec.stages} stage{'s' * (spec.stages > 1)} of rising resolution "
        f"([PixelFlow](https://arxiv.org/abs/2504.07963)). Made with {DISTRIBUTION} {__version__}."
    )
    if grid:
        yield from ("", "![Images that it draws](grid.png)")
    yield from ("", "## Use", "", *_use(model, address, reads, code))
    yield from ("", "## Recipe", "", *_recipe(model))
    yield from ("", "The whole of it, with every default: [spec.yaml](spec.yaml).")
    yield from ("", "## Data", "", "```yaml", _yaml({"data": spec.data.model_dump(mode="json")}), "```")
    yield from ("", "## Evaluation", "")
    if figures:
        yield from ("| metric | value | how |", "|---|---|---|")
        for (name, how), figure in figures.items():
            told = "; ".join(f"{key} {one}" for key, one in how if one)
            yield f"| {_text(name)} | {figure.value:.4g} | {_text(told)} |"
        yield from ("", "Figures compare with those that were measured in the same way alone.")
    else:
        yield "It was not evaluated."


def _use(model: TrainedWeights, address: str | None, reads: set[str], code: bool) -> Iterator[str]:
    given = 'prompt="..."' if CAPTION.name in reads else ""
    if reads and not given:
        given = f"class_labels={json.dumps(list(model.classes[:3])) if model.classes else [0, 1, 2]}"
    if code:
        yield from (
            "```python",
            "from diffusers import DiffusionPipeline",
            "",
            f'pipe = DiffusionPipeline.from_pretrained("{address or "path/of/this/folder"}", trust_remote_code=True)',
            f"images = pipe({given}).images",
            "```",
            "",
            "The code in this folder is all that it needs beside `pip install diffusers einops pluggy pydantic`.",
            "Steps and guidance may differ by stage: `num_inference_steps=[10, 20]`, `guidance_scale=[1, 3]`.",
            "",
        )
    toolkit = f"[the toolkit](https://pypi.org/project/{DISTRIBUTION})"
    if address is None:
        yield f"With {toolkit}: `pixelflow import path/of/this/folder runs/NAME` makes a run of it."
        return
    yield from (f"With {toolkit}: `pixelflow sample hf://{address}`, or", "")
    yield from ("```python", "import pixelflow", "", f'run = pixelflow.load("hf://{address}")', "```")


def _recipe(model: TrainedWeights) -> Iterator[str]:
    spec = model.spec
    training = spec.training
    rows = {
        "weights": f"{'averaged' if model.weights == 'ema' else 'raw'}, step {model.step:,}, "
        f"{sum(tensor.numel() for tensor in model.tensors.values()):,} parameters",
        "backbone": _block(spec.backbone),
        "conditioners": ", ".join(map(_block, spec.conditioners)) or "none",
        "cascade": f"{spec.stages} stages, down {_block(spec.cascade.down)}, up {_block(spec.cascade.up)}, "
        f"patches {', '.join(map(str, spec.patches))}",
        "objective": _block(spec.objective),
        "training": f"{training.batch_size} images a step, learning rate {training.learning_rate:g}, "
        f"{training.optimizer}, {training.precision}",
        "sampling": f"{_block(spec.sampling.sampler)}, steps {spec.sampling.steps}, "
        f"guidance {_block(spec.sampling.guidance)}",
    }
    yield from ("| part | |", "|---|---|", *(f"| {name} | {_text(told)} |" for name, told in rows.items()))


def _block(params: Settings) -> str:
    """A component in one line."""
    kept = params.model_dump(mode="json")
    numbers = {key: value for key, value in kept.items() if isinstance(value, (int, float))}
    others = ", ".join(f"{key} {value}" for key, value in numbers.items())
    return f"{kept.get('type', '')} ({others})" if others else str(kept.get("type", ""))


def _yaml(value: Mapping[str, object]) -> str:
    return str(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)).rstrip()


def _text(value: str) -> str:
    """Words that mean nothing to Markdown."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
