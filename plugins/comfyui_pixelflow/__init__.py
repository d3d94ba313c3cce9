"""ComfyUI nodes over a run: put this folder into ComfyUI's ``custom_nodes``; pixelflow must be installed beside it."""

from __future__ import annotations

from typing import Any

import torch

import pixelflow


class PixelFlowLoad:
    """Opens a run's folder, or ``hf://user/name``."""

    CATEGORY, FUNCTION, RETURN_TYPES, RETURN_NAMES = "pixelflow", "load", ("PIXELFLOW_RUN",), ("run",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """What the node shows."""
        return {"required": {"run": ("STRING", {"default": "runs/digits"}), "weights": (["ema", "raw"],)}}

    def load(self, run: str, weights: str) -> tuple[Any]:
        """The run."""
        return (pixelflow.load(run.strip(), weights=weights),)


class PixelFlowSample:
    """Draws images; empty fields are as in the run's spec."""

    CATEGORY, FUNCTION, RETURN_TYPES = "pixelflow", "sample", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """What the node shows."""
        text = ("STRING", {"default": ""})
        number = ("INT", {"default": 1, "min": 1, "max": 64})
        return {
            "required": {
                "run": ("PIXELFLOW_RUN",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**62}),
                "count": number,
                "labels": text,
                "prompt": ("STRING", {"default": "", "multiline": True}),
                "negative": text,
                "steps": text,
                "guidance": text,
                "sampler": text,
            }
        }

    def sample(self, run: Any, seed: int, count: int, labels: str, prompt: str, **texts: str) -> tuple[torch.Tensor]:
        """Images (b h w 3) in [0, 1].

        Args:
            texts: negative, steps, guidance and sampler as the command line has them: ``10,20``, ``heun``.
        """
        from pixelflow.generation.written import sampling_changes

        settings = {name: texts.get(name, "").strip() or None for name in ("steps", "guidance", "sampler")}
        given: dict[str, Any] = {**sampling_changes(grid=None, **settings), "seed": seed, "count": count}
        if labels.strip():
            given["labels"] = [name.strip() for name in labels.split(",")]
        if "caption" in run.reads:
            given["prompts"] = prompt
            given |= {"negatives": texts["negative"]} if texts.get("negative", "").strip() else {}
        images = run.sample(**given, on_step=_bar(run)).clamp(-1, 1) / 2 + 0.5
        return (images.expand(-1, 3, -1, -1).movedim(1, -1).contiguous(),)


def _bar(run: Any) -> Any:
    """Moves ComfyUI's bar and lets its Cancel stop the drawing; None outside of it."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
        from comfy.utils import ProgressBar
    except ImportError:
        return None
    bar = ProgressBar(len(run.model.cascade.stages) * 1000)

    def step(stage: Any, tau: float, state: Any, velocity: Any) -> None:
        throw_exception_if_processing_interrupted()
        bar.update_absolute(int((stage.index + tau) * 1000))

    return step


NODE_CLASS_MAPPINGS = {"PixelFlowLoad": PixelFlowLoad, "PixelFlowSample": PixelFlowSample}
NODE_DISPLAY_NAME_MAPPINGS = {"PixelFlowLoad": "PixelFlow: open a run", "PixelFlowSample": "PixelFlow: sample"}
