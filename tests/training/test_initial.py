"""A run that starts from another one's weights: what carries over, what is new, and what cannot work."""

from __future__ import annotations

import json

import pytest
import torch

from pixelflow.core.assembly import build_model
from pixelflow.core.model import FlowModel
from pixelflow.generation.run import Run
from pixelflow.runs import checkpoint
from pixelflow.system.errors import MissingInputError, PixelflowError, UsageError
from pixelflow.training.initial import Inherited, check, former_run, inherit
from tests.conftest import make_run, make_spec
from tests.training.conftest import lines_of

BYTES = "{type: bytes, dim: 16, depth: 1, heads: 2, max_bytes: 32}"


@pytest.fixture
def former(tmp_path) -> Run:
    """A class run of 2 stages with lively weights."""
    return Run.open(make_run(tmp_path / "former", make_spec()), device="cpu")


def started(former: Run, *overrides: str) -> tuple[FlowModel, Inherited]:
    """A fresh model of another spec that took what it could, and the report."""
    spec = make_spec(*overrides)
    model = build_model(spec)
    return model, inherit(model, spec, former, former.classes)


def velocities(model: FlowModel, side: int, **values) -> torch.Tensor:
    torch.manual_seed(5)
    stage = model.cascade.stages[-1]
    x, tau = torch.randn(3, 1, side, side), torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        return model.eval()([x], [stage], [tau], model.condition(model.prepare(values)))[0]


def test_the_same_spec_takes_everything(former):
    model, inherited = started(former)
    assert not inherited.fresh
    assert not inherited.left
    assert all(torch.equal(own, former.model.state_dict()[name]) for name, own in model.state_dict().items())


def test_text_on_a_class_run_starts_as_the_class_run(former):
    model, inherited = started(former, f"conditioners=[{BYTES}, class_label]", "conditioners.1.classes=10")
    labels, captions = [0, 4, 9], ["a one", "", "anything at all"]
    before = velocities(former.model, 16, label=labels)
    assert before.any()
    assert torch.equal(velocities(model, 16, label=labels, caption=captions), before)
    assert {name.split(".")[0] for name in inherited.fresh} == {"backbone", "conditioners"}
    assert all("cross_" in name or name.startswith("conditioners.0.") for name in inherited.fresh)
    assert not inherited.left


def test_a_stage_more_carries_all_weights_over(former):
    """Nothing is tied to the number of stages; times within the network's axis keep their meaning."""
    _, inherited = started(former, "image.size=32", "cascade.stages=3")
    assert not inherited.fresh
    assert not inherited.left


def test_another_patch_size_gets_projections_of_its_own(former):
    _, inherited = started(former, "cascade.patch=[4, 2]")
    names = {"patch_in.4.weight", "patch_in.4.bias", "patch_out.4.weight", "patch_out.4.bias"}
    assert set(inherited.fresh) == {f"backbone.{name}" for name in names}
    assert not inherited.left


def table(run: Run) -> torch.Tensor:
    return run.model.state_dict()["conditioners.0.table.weight"]


def begun(former: Run, *classes: str) -> tuple[torch.Tensor, torch.Tensor, Inherited]:
    """The table of a model of other classes that took what it could, that of a fresh one, and the report."""
    spec = make_spec(f"conditioners.0.classes={len(classes)}")
    torch.manual_seed(0)
    fresh = build_model(spec).state_dict()["conditioners.0.table.weight"].clone()
    torch.manual_seed(0)
    model = build_model(spec)
    inherited = inherit(model, spec, former, classes)
    return model.state_dict()["conditioners.0.table.weight"], fresh, inherited


def test_each_class_takes_the_weights_of_its_name(former):
    own, fresh, inherited = begun(former, "class 7", "owl", "class 0")
    assert torch.equal(own[[0, 2, 3]], table(former)[[7, 0, 10]])  # and the last row stands for no class
    assert torch.equal(own[1], fresh[1])
    (line,) = [line for line in inherited.lines() if "classes" in line]
    assert line.startswith("  classes: 2 taken over by name; new: owl; left out: class 1, class 2, ")
    assert "conditioners.0.table.weight" in inherited.taken
    assert not inherited.fresh


def test_the_same_number_of_other_classes_takes_none_over(former):
    own, fresh, inherited = begun(former, *(f"other {number}" for number in range(10)))
    assert torch.equal(own[:10], fresh[:10])
    assert torch.equal(own[10], table(former)[10])
    assert "  classes: none taken over; new: other 0, other 1" in "\n".join(inherited.lines())


def test_another_order_moves_the_rows(former):
    own, _, inherited = begun(former, *reversed(former.classes))
    assert torch.equal(own, table(former)[[*range(9, -1, -1), 10]])
    assert "  classes: 10 taken over by name" in inherited.lines()


@pytest.mark.parametrize("count", [10, 4])
def test_classes_without_names_go_by_number_where_they_are_as_many(tmp_path, count):
    former = Run.open(make_run(tmp_path / "imported", make_spec(), classes=()), device="cpu")
    own, fresh, inherited = begun(former, *(f"n{number:02}" for number in range(count)))
    assert torch.equal(own[:count], table(former)[:10] if count == 10 else fresh[:4])
    told = "\n".join(inherited.lines())
    assert ("10 taken over by number, for the other run has no names" if count == 10 else "none taken over") in told


def test_the_record_names_the_classes(trained, tmp_path):
    source = make_run(tmp_path / "source", make_spec(), classes=[*"0123456", "seven", "8", "9"])
    run = trained("next", f"training.init_from='{source}'", "training.steps=1")
    classes = json.loads(run.init_file.read_text())["classes"]
    assert (classes["new"], classes["left_out"], classes["by_number"]) == (["7"], ["seven"], False)
    assert classes["taken"] == list("012345689")


def test_more_blocks_are_new_and_change_nothing(former):
    model, inherited = started(former, "backbone.depth=3")
    assert {name.split(".")[2] for name in inherited.fresh} == {"2"}
    before = velocities(former.model, 16, label=[1, 2, 3])
    torch.testing.assert_close(velocities(model, 16, label=[1, 2, 3]), before, rtol=0, atol=1e-6)


def test_another_text_encoder_has_all_of_its_cross_attention_anew(tmp_path):
    text = Run.open(make_run(tmp_path / "text", make_spec(f"conditioners=[{BYTES}]", "data=shapes")), device="cpu")
    _, inherited = started(text, f"conditioners=[{BYTES.replace('dim: 16', 'dim: 24')}]", "data=shapes")
    fresh = inherited.fresh
    assert fresh["backbone.blocks.1.cross_attention.out.weight"].start == "zero"
    assert set(inherited.left) == set(fresh)
    assert any(name.startswith("conditioners.0.table") for name in fresh)


def test_a_longer_caption_needs_new_places_only(tmp_path):
    text = Run.open(make_run(tmp_path / "text", make_spec(f"conditioners=[{BYTES}]", "data=shapes")), device="cpu")
    _, inherited = started(text, f"conditioners=[{BYTES.replace('32', '64')}]", "data=shapes")
    assert set(inherited.fresh) == {"conditioners.0.places"}


def test_raw_weights_and_a_step_of_choice(tmp_path):
    run = make_run(tmp_path / "former", make_spec(), step=7)
    first = checkpoint.load(run / "checkpoints", parts=["ema", "model"]).tensors
    checkpoint.save(run / "checkpoints", 9, {"ema": first["model"], "model": first["ema"]}, {}, keep=2)
    spec = make_spec(f"training.init_from={{run: '{run}', weights: raw, step: 7}}")
    other = former_run(spec.training.init_from)
    assert (other.source.step, other.source.weights) == (7, "raw")
    assert all(torch.equal(own, first["model"][name]) for name, own in other.model.state_dict().items())


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["backbone.heads=3"], UsageError, "another architecture (heads 2 there, 3 here)"),
        (["backbone.heads=4", "backbone.head_dim=8"], UsageError, "heads 2 there, 4 here; head_dim 16 there, 8 here"),
        (["image.channels=3"], UsageError, "image.channels 1 there, 3 here"),
        (["training.init_from=nowhere"], MissingInputError, "nowhere: there is no such run"),
    ],
)
def test_what_cannot_carry_over_is_said_in_one_line(former, overrides, error, message):
    spec = make_spec(f"training.init_from='{former.source.run}'", *overrides)
    with pytest.raises(error) as caught:
        check(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_made_where_the_start_does_not_fit(trained, tmp_path):
    with pytest.raises(PixelflowError, match="no such run"):
        trained("next", "training.init_from=nowhere")
    assert not (tmp_path / "next").exists()


def test_the_report_names_what_is_new_and_how_it_starts(former):
    lines = list(started(former, f"conditioners=[{BYTES}]")[1].lines())
    assert lines[0].startswith(f"starts from {former.source.run} step 7 (ema, sha256 {former.source.sha256[:12]})")
    (cross,) = (line for line in lines if "cross_attention" in line)
    assert cross.startswith("  new: backbone.blocks.*.cross_attention (16 tensors; one: ")
    assert "zero: q.bias, kv.bias, out.weight, out.bias" in cross
    assert "  left out: conditioners.0.table (1 tensor)" in lines


def test_it_is_recorded_and_applied_once(trained, tmp_path, capsys):
    """A stopped run goes on without the former one, and equals the uninterrupted run."""
    source = trained("source", "training.steps=2")
    options = (f"training.init_from='{source.path}'", "image.size=32", "cascade.stages=3", "training.save_every=2")
    whole = trained("whole", *options)
    record = json.loads(whole.init_file.read_text())
    assert record["source"]["sha256"] == Run.open(source.path).source.sha256
    assert record["new"] == {} == record["left_out"]
    assert whole.read_spec().training.init_from.run == source.path
    trained("parts", *options, "training.steps=2")
    source.path.rename(tmp_path / "elsewhere")
    capsys.readouterr()
    parts = trained("parts", *options)
    assert "starts from" not in capsys.readouterr().err
    assert lines_of(whole) == lines_of(parts)


def test_the_average_starts_there_too(trained):
    source = trained("source", "training.steps=2")
    run = trained("next", f"training.init_from={{run: '{source.path}', weights: raw}}", "training.steps=1",
                  "training.learning_rate=1e-12")  # fmt: skip
    first, then = (checkpoint.load(each.checkpoints, parts=["model", "ema"]).tensors for each in (source, run))
    for part in ("model", "ema"):
        for name, tensor in then[part].items():
            torch.testing.assert_close(tensor, first["model"][name], rtol=0, atol=1e-6)


def test_inheriting_leaves_the_former_run_as_it_was(former):
    before = {name: tensor.clone() for name, tensor in former.model.state_dict().items()}
    model, _ = started(former)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in former.model.state_dict().items())
