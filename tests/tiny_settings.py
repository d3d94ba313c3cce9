"""Settings of components on pretrained networks, filled in with small networks that are written to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pixelflow.metrics.classifier import About, ClassifierNetwork, save
from tests.tiny_encoders import make_chat_model, make_clip, make_dinov2, make_sentence, make_t5
from tests.tiny_inception import make_inception

ON_INCEPTION = (
    *("extractor inception", "extractor adm_inception"),
    *("metric fid", "metric kid", "metric adm_fid", "metric adm_sfid"),
    *("metric inception_score", "metric precision_recall"),
)
ON_CLIP = ("extractor clip", "metric clip_fid", "metric clip_score", "metric cmmd")
ON_DINOV2 = ("extractor dinov2", "metric fd_dinov2")


def make_settings(folder: Path) -> dict[str, dict[str, Any]]:
    """ "kind name" -> settings, for every built-in component that needs files."""
    inception = make_inception(folder / "inception-2015-12-05.pt")
    clip = str(make_clip(folder / "clip"))
    settings: dict[str, dict[str, Any]] = {
        "conditioner t5": {"model": str(make_t5(folder / "t5")), "max_tokens": 40},
        "conditioner sentence": {"model": str(make_sentence(folder / "sentence")), "max_tokens": 40},
        "conditioner clip_text": {"model": clip, "max_tokens": 20},
        "rewriter instruct": {"model": str(make_chat_model(folder / "chat")), "max_tokens": 8},
        "rewriter mapping": {"file": str(_rewritten(folder / "rewritten.jsonl")), "missing": "keep"},
    }
    settings |= dict.fromkeys(ON_INCEPTION, inception)
    dinov2 = str(make_dinov2(folder / "dinov2"))
    settings |= {name: {"model": clip} for name in ON_CLIP} | {name: {"model": dinov2} for name in ON_DINOV2}
    classifier = {"weights": str(_classifier(folder / "classifier.safetensors"))}
    settings |= dict.fromkeys(("extractor classifier", "metric classifier_agreement"), classifier)
    settings["metric kid"] = {**inception, "subsets": 3, "subset_size": 20}
    return settings


def _rewritten(file: Path) -> Path:
    file.write_text('{"prompt": "a red circle", "rewritten": "a bright red circle on snow"}\n')
    return file


def _classifier(file: Path) -> Path:
    torch.manual_seed(0)
    save(file, ClassifierNetwork(10), About(tuple("0123456789"), 16, 0.1, {}))
    return file
