"""What a spec costs, as the text that ``pixelflow plan`` and the page show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelflow.system.tables import duration, percent, quantity, table

if TYPE_CHECKING:
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.costs.memory import Fit
    from pixelflow.costs.planning import Costs

_PEAK, _SHARE = 989e12, 0.33
"""Of an H100 or H200, dense in bfloat16, and the share of it that training reached there (benchmarks/README.md)."""


def told(costs: Costs, speed: float | None = None) -> list[str]:
    """A summary, what an evaluation costs by stage, a sample, and the training; each of several lines.

    Args:
        speed: FLOP/s that a device sustains, to estimate times.
    """
    return [_summary(costs), _stages(costs), _sample(costs, speed), _training(costs, speed)]


def _summary(costs: Costs) -> str:
    spec = costs.spec
    frozen = costs.parameters - costs.trained
    note = f", {quantity(frozen)} of them frozen" if frozen else ""
    return (
        f"{spec.name}: {spec.image.height}x{spec.image.width} pixels in {spec.stages} stage{'s' * (spec.stages > 1)}, "
        f"{quantity(costs.parameters)} parameters{note}{_sizes(spec)}{_captions(costs.context_tokens)}"
    )


def _sizes(spec: ExperimentSpec) -> str:
    if len(spec.sizes) == 1:
        return ""
    (narrow, *_), (wide, *_) = spec.sizes, spec.sizes[::-1]
    return (
        f"\nImages keep their shape, in {len(spec.sizes)} sizes of about this area, from {narrow[0]}x{narrow[1]} to "
        f"{wide[0]}x{wide[1]}; the figures are those of {spec.image.height}x{spec.image.width}."
    )


def _captions(tokens: int) -> str:
    return (
        f"\nCaptions count as {tokens} tokens, the most that is read of one; shorter ones cost less." if tokens else ""
    )


def _stages(costs: Costs) -> str:
    rows = [("stage", "pixels", "patch", "tokens", "GMAC", "share", "attention", "activations")]
    rows += [
        (
            str(one.stage.index),
            f"{one.height}x{one.width}",
            str(one.patch),
            str(one.tokens),
            _giga(one.once.macs),
            percent(one.once.macs / costs.evaluation_macs),
            percent(one.once.attention_macs / one.once.macs),
            quantity(costs.kept_bytes(one), "B"),
        )
        for one in costs.stages
    ]
    tokens = sum(one.tokens for one in costs.stages)
    rows.append(("all", "", "", str(tokens), _giga(costs.evaluation_macs), "100%", "", ""))
    head = (
        "One evaluation of one image. 1 MAC is 2 FLOP; attention is its part of GMAC; training keeps the activations."
    )
    return f"{head}\n{table(rows)}"


def _sample(costs: Costs, speed: float | None) -> str:
    about = "about " if costs.is_adaptive else ""
    rows = [("stage", "NFE", "GMAC", "share")]
    rows += [
        (
            str(one.stage.index),
            f"{one.nfe:g}",
            _giga(one.sample_macs),
            percent(one.sample_macs / costs.sample_macs),
        )
        for one in costs.stages
    ]
    total = sum(one.nfe for one in costs.stages)
    rows.append(("all", f"{total:g}", _giga(costs.sample_macs), "100%"))
    sampling, flop = costs.spec.sampling, costs.sample_macs * 2
    lines = [
        f"One sample: {about}{quantity(flop, 'FLOP')}{_time(flop, speed)}",
        f"  {sampling.sampler.component.type_name()}, guidance {sampling.guidance.component.type_name()}; "
        "a guided evaluation counts as the two that it takes",
        table(rows),
    ]
    if costs.is_adaptive:
        lines.append("  The sampler chooses its own steps: this is what it needs for Gaussian pixels.")
    return "\n".join(lines)


def _training(costs: Costs, speed: float | None) -> str:
    from pixelflow.costs.memory import Devices, device_memory

    training, needed = costs.spec.training, device_memory(costs, Devices("ddp", 1))
    images = training.steps * training.batch_size
    recomputed = ", recomputed block by block" if training.activation_checkpointing else ""
    passes = "backward and recomputation" if training.activation_checkpointing else "backward"
    return "\n".join(
        (
            f"Training: {_peta(costs.training_flop)} PFLOP{_time(costs.training_flop, speed)}",
            f"  {training.steps} steps of {training.batch_size} images: {quantity(images)} images",
            f"  an image, in the mean over stages: {_giga(costs.forward_macs)} GMAC forward, "
            f"{quantity(costs.training_flop / images, 'FLOP')} with {passes}",
            f"  memory: {quantity(needed.state, 'B')} for weights, gradients, optimizer and EMA, "
            f"about {quantity(needed.activations, 'B')} for activations{recomputed}",
        )
    )


def on_devices(costs: Costs, count: int, memory: float, per_node: int, speed: float | None) -> str:
    """How the training fits so many devices, and what it and 50,000 images take there."""
    from pixelflow.costs.memory import MODES, USABLE, Devices, drawing_flop, fits, workers_for

    modes = [mode for mode in MODES if mode != "hybrid" or count > per_node]
    found = [one for mode in modes for one in fits(costs.spec, Devices(mode, count, per_node), memory)]
    own, drawing = speed or _PEAK * _SHARE, drawing_flop(costs, _FID_IMAGES)
    rate, readers = workers_for(costs, own)
    rows: list[tuple[str, ...]] = [("parallel", "checkpointing", "accumulation", *_COLUMNS, "peak", "", "training")]
    rows += [_fit(one, own) for one in found]
    share = "" if speed else f", {percent(_SHARE)} of an H100's peak; --tflops sets another"
    return "\n".join(
        (
            f"On {count} device{'s' * (count > 1)} of {quantity(memory, 'B')}, {percent(USABLE)} of it counted on: "
            f"{costs.spec.training.batch_size // count} images of a batch each",
            table(rows),
            f"  times at {quantity(own, 'FLOP/s')} a device{share}; communication counts as hidden",
            f"  reading: {quantity(rate)} images a second a device, for which training.workers={readers} read JPEGs; "
            "a core reads 280 of 500x375 pixels",
            f"  FID-50k: {_hours(drawing / count / own, count)} to draw {_FID_IMAGES:,} images",
        )
    )


_COLUMNS = ("weights", "average", "optimizer", "gradients", "working", "batch", "activations")
_FID_IMAGES = 50_000


def _fit(fit: Fit, speed: float) -> tuple[str, ...]:
    training, needed = fit.costs.spec.training, fit.needed
    return (
        fit.devices.mode,
        "yes" if training.activation_checkpointing else "no",
        str(training.grad_accumulation),
        *(quantity(getattr(needed, name), "B") for name in _COLUMNS),
        quantity(needed.peak, "B"),
        "fits" if fit.is_one else "too much",
        _hours(fit.seconds(speed), fit.devices.count) if fit.is_one else "",
    )


def _hours(seconds: float, devices: int) -> str:
    hours = seconds * devices / 3600
    return f"{duration(seconds)}, {f'{hours:,.0f}' if hours >= 100 else f'{hours:.3g}'} GPU hours"


def _giga(macs: float) -> str:
    return f"{macs / 1e9:.1f}" if macs >= 1e9 else f"{macs / 1e9:.3g}"


def _peta(flop: float) -> str:
    return f"{flop / 1e15:,.0f}" if flop >= 1e17 else f"{flop / 1e15:.3g}"


def _time(flop: float, speed: float | None) -> str:
    return f", {duration(flop / speed)} at {quantity(speed, 'FLOP/s')}" if speed else ""
