"""Names of trainings and cells follow from what decides on them, and outlive new settings.

After a setting was added, add its default to the file of defaults:  python -m tests.sweep.test_keys
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from pixelflow.core import plugins, spec, training_settings
from pixelflow.core.component import Settings
from pixelflow.core.former_keys import first_name
from pixelflow.core.registry import registry
from pixelflow.samplers.heun import Heun
from pixelflow.samplers.rk4 import RK4
from pixelflow.sweep.points import keys
from pixelflow.sweep.points.keys import cell_key, telling, title, training_key
from tests.conftest import make_spec

ONLY_SAMPLING = ("sampling.steps=9", "sampling.guidance.type=none", "evaluation.images=17", "name=other")
ONLY_LOGGING = ("training.log_every=7", "training.keep=9", "training.workers=1", "training.sample_every=3")
OF_TRAINING = ("training.steps=5", "seed=4", "backbone.depth=1", "data=digits", "training.learning_rate=2e-3")


@pytest.mark.parametrize("change", [*ONLY_SAMPLING, *ONLY_LOGGING])
def test_what_training_does_not_see_does_not_count(change):
    assert training_key(make_spec(change)) == training_key(make_spec())


@pytest.mark.parametrize("change", OF_TRAINING)
def test_what_training_sees_counts(change):
    differs = make_spec(change) != make_spec()
    assert (training_key(make_spec(change)) != training_key(make_spec())) == differs
    assert (cell_key(make_spec(change)) != cell_key(make_spec())) == differs


@pytest.mark.parametrize("change", ONLY_SAMPLING[:3])
def test_what_evaluation_sees_counts(change):
    assert cell_key(make_spec(change)) != cell_key(make_spec())


@pytest.mark.parametrize("change", [*ONLY_SAMPLING[3:], *ONLY_LOGGING])
def test_what_evaluation_does_not_see_does_not_count(change):
    assert cell_key(make_spec(change)) == cell_key(make_spec())


def test_names_stay_from_version_to_version():
    """If this fails, an upgrade would train everything anew: is a new setting missing in the file of defaults?"""
    spec = make_spec("evaluation.metrics=[frechet]")  # by default what is measured depends on what is installed
    told = telling(spec)
    assert told["training"].pop("compile") == "auto"  # false in the file, and no part of the name of a training
    assert told["training"] == {"steps": 4, "batch_size": 8, "learning_rate": 1e-3, "save_every": 2, "log_every": 1,
                                "sample_every": None, "ema": 0.9}  # fmt: skip
    assert told["backbone"] == {"type": "dit", "depth": 2, "heads": 2, "head_dim": 16}
    assert told["sampling"] == {"steps": 3, "guidance": {"type": "constant"}}
    assert "evaluation" not in told
    assert (training_key(spec), cell_key(spec)) == ("e73b3c7ff3e1", "2d47f78c1f46")


@pytest.mark.parametrize("written", ["training.weight_decay=0.0", "backbone.mlp_ratio=4.0", "sampling.sampler=euler"])
def test_a_default_that_is_written_out_does_not_count(written):
    assert cell_key(make_spec(written)) == cell_key(make_spec())


def test_a_default_that_changes_counts_from_then_on(monkeypatch):
    """As if version 0 had had another default: what asks for that one keeps its name, the default has a new one."""
    now, explicit = cell_key(make_spec()), cell_key(make_spec("training.weight_decay=0.5"))
    monkeypatch.setitem(keys.defaults()["TrainingSpec"], "weight_decay", 0.5)
    assert cell_key(make_spec("training.weight_decay=0.5")) == now
    assert cell_key(make_spec()) not in (now, explicit)


def test_results_of_a_former_revision_are_not_taken_for_those_of_now(monkeypatch):
    now = {name: cell_key(make_spec(f"sampling.sampler={name}")) for name in ("euler", "heun", "rk4")}
    for sampler in (Heun, RK4):
        monkeypatch.setattr(sampler, "revision", 1)
    before = {name: cell_key(make_spec(f"sampling.sampler={name}")) for name in now}
    assert [name for name in now if now[name] != before[name]] == ["heun", "rk4"]
    assert training_key(make_spec("sampling.sampler=heun")) == training_key(make_spec())


def test_of_what_the_file_does_not_hold_everything_counts(monkeypatch):
    """So it is for components of plugins."""
    monkeypatch.delitem(keys.defaults(), "guidance constant")
    monkeypatch.delitem(keys.defaults(), "backbone dit")
    told = telling(make_spec())
    backbone = make_spec().backbone.model_dump(mode="json")
    backbone["context_dim"] = backbone.pop("text_dim")
    assert told["backbone"] == backbone  # a setting keeps its first name
    assert told["sampling"]["guidance"] == {"type": "constant", "scale": 1.5}


def test_blocks_in_lists_and_blocks_that_may_be_absent():
    def told(*changes: str) -> Any:
        return telling(make_spec(*changes))

    assert "evaluation" not in told("evaluation.metrics=[frechet]")
    assert told("evaluation.metrics=[kid, {type: frechet, extractor: pixels_pca}]")["evaluation"] == {
        "metrics": [{"type": "kid"}, {"type": "frechet", "extractor": {"type": "pixels_pca"}}]
    }
    assert told("training.init_from=runs/a")["training"]["init_from"] == {"run": "runs/a"}


def test_where_tokens_are_kept_does_not_count():
    def key(cache: str) -> str:
        return training_key(make_spec("data=shapes", f"conditioners=[{{type: t5, cache: {cache}}}]"))

    assert key("here") == key("there") == key("null")


def test_the_file_holds_every_default():
    missing = [f"{block}: {name}" for block, name, _ in added()]
    assert not missing, f"{', '.join(missing)}: run python -m tests.sweep.test_keys"


def blocks() -> Iterator[type[Settings]]:
    """All that specs hold, inner ones before those that hold them."""
    plugins.load()
    own = [entry.cls for _, _, entry in registry if entry.origin == "pixelflow" and entry.cls.kind != "rewriter"]
    yield from (cls.Params for cls in sorted(own, key=lambda cls: cls.kind != "extractor"))
    homes = (training_settings, spec)
    named = {each: None for home in homes for each in vars(home).values() if isinstance(each, type)}
    yield from (each for each in named if each.__module__ in [home.__name__ for home in homes])


def added() -> Iterator[tuple[str, str, Any]]:
    """Block, name and default of each setting that is not in the file."""
    for block in blocks():
        for current, field in block.model_fields.items():
            name = first_name(block, current)
            if name != "type" and not field.is_required() and name not in keys.defaults().get(title(block), {}):
                kind = TypeAdapter(Annotated[field.annotation, field])
                value = kind.validate_python(field.get_default(call_default_factory=True))
                plain = kind.dump_python(value, mode="json")
                yield title(block), name, telling(value) if keys._holds_settings(value) else plain


if __name__ == "__main__":
    for block, name, default in added():
        keys.defaults().setdefault(block, {})[name] = default
    lines = [f"{json.dumps(block)}: {json.dumps(of)}" for block, of in sorted(keys.defaults().items())]
    keys.DEFAULTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
