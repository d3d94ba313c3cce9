"""Plans agree with the paper's figures, and with what the real network counts, keeps and spends."""

from __future__ import annotations

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pixelflow.core import assembly
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone, Query
from pixelflow.core.registry import registry
from pixelflow.core.sampling import SeededNoise, generate
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs import planning
from pixelflow.costs.planning import costs
from pixelflow.system.errors import MissingInputError
from tests.conftest import make_spec

PAPER = """
name: paper
image: {size: 256}
data: {type: image_folder, root: not-here}
cascade: {kickoff: 8, patch: 4}
backbone: {type: dit, depth: 28, heads: 16, head_dim: 72}
conditioners: [{type: class_label, classes: 1000}]
training: {steps: 1000, batch_size: 256}
sampling: {steps: 30, guidance: {type: stagewise, scale: 2.4}}
"""


@pytest.fixture(scope="module")
def paper():
    return costs(make_spec(text=PAPER))


def test_the_papers_network(paper):
    assert paper.parameters == pytest.approx(677e6, rel=0.005)
    assert [stage.tokens for stage in paper.stages] == [64, 256, 1024, 4096]
    assert [stage.once.macs / 1e9 for stage in paper.stages] == pytest.approx([29.0, 118.6, 524.6, 2909.4], rel=0.005)


def test_the_last_stage_is_most_of_it(paper):
    last = paper.stages[-1].once
    assert last.macs / paper.evaluation_macs == pytest.approx(0.81, abs=0.005)
    assert last.attention_macs / last.macs == pytest.approx(0.37, abs=0.005)


def test_the_papers_training(paper):
    assert paper.forward_macs / 1e9 == pytest.approx(895, rel=0.005)
    assert paper.training_flop / (1000 * 256) == pytest.approx(5.37e12, rel=0.005)


def test_weight_one_is_not_paid_for(paper):
    assert [stage.nfe for stage in paper.stages] == [30, 60, 60, 60]


def test_a_patch_a_stage():
    spec = make_spec("cascade={stages: 4, patch: [2, 4, 8, 16]}", text=PAPER)
    constant = costs(spec)
    assert [stage.tokens for stage in constant.stages] == [256] * 4
    assert 3581.7e9 / constant.evaluation_macs == pytest.approx(7.5, rel=0.02)


def test_nothing_is_allocated():
    huge = costs(make_spec("backbone={type: dit, depth: 100, heads: 128, head_dim: 128}", text=PAPER))
    assert huge.parameters * 4 > 1e12


def test_many_stages_are_rehearsed_on_few_pixels(monkeypatch):
    seen = []
    forward = planning._Rehearsal.forward

    def counted(self, query):
        seen.append(query.images[0].shape[-1])
        return forward(self, query)

    monkeypatch.setattr(planning._Rehearsal, "forward", counted)
    large = ("image.size=8192", "cascade={stages: 11, patch: 4}")
    assert [stage.nfe for stage in costs(make_spec(*large, "sampling={steps: 1}")).stages] == [1] * 11
    assert not seen, "when a fixed-step sampler asks is known without pixels"
    costs(make_spec(*large, "sampling={sampler: {type: bosh3, rtol: 1.0, atol: 1.0}}"))
    assert (min(seen), max(seen)) == (1, 1024)


def test_parameters_are_those_of_the_real_network(tiny_spec):
    model = assembly.build_model(tiny_spec)
    assert costs(tiny_spec).parameters == sum(parameter.numel() for parameter in model.parameters())


def network(spec: ExperimentSpec) -> Backbone:
    """The real network, on random weights."""
    backbone, _ = assembly.build_network(spec)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return backbone


def evaluate(backbone: Backbone, images: int) -> list[torch.Tensor]:
    return backbone(Query([torch.randn(images, 1, 32, 32)], [0], torch.full((images,), 500.0), Condition())).groups


BACKBONES = {
    "dit": "{type: dit, depth: 6, heads: 4, head_dim: 32}",
    "hourglass": "{type: hourglass, depth: 3, heads: 4, head_dim: 32, level_channels: [32, 64]}",
    "jit": "{type: jit, depth: 6, heads: 4, head_dim: 32, bottleneck: 32, class_tokens: 4}",
}
WIDE = ("image.size=32", "cascade={stages: 1, patch: 4}")


class Memory(TorchDispatchMode):
    """The most bytes that tensors made within held at any time; those of the storages in `known` are not counted."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.peak, self._known = 0, known
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.data_ptr() not in self._known:
                storage = tensor.untyped_storage()
                self._made[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self._made = {place: made for place, made in self._made.items() if not made[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._made.values()))
        return result


def copies_of_cpus(spec: ExperimentSpec, devices: int = 1) -> float:
    """Bytes of the float32 copies of q, k, v and the result that 16-bit attention makes on CPUs alone."""
    if spec.training.precision == "float32":
        return 0.0
    images = spec.training.batch_size / devices / spec.training.grad_accumulation
    blocks = 1 if spec.training.activation_checkpointing else spec.backbone.depth
    return 4 * 4 * images * sum(one.share * one.tokens for one in costs(spec).stages) * spec.backbone.width * blocks


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("checkpointing", ["false", "true"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_are_the_memory_of_a_real_step(precision, checkpointing, backbone):
    patch = 4 if backbone == "hourglass" else 2
    spec = make_spec(*WIDE, f"cascade.patch={patch}", f"backbone={BACKBONES[backbone]}", "training.batch_size=8",
                     f"training.precision={precision}",
                     f"training.activation_checkpointing={checkpointing}")  # fmt: skip
    backbone = network(spec).train()
    backbone.activation_checkpointing = spec.training.activation_checkpointing
    for parameter in backbone.parameters():
        parameter.grad = torch.zeros_like(parameter)
    known = {place for one in backbone.parameters() for place in (one.data_ptr(), one.grad.data_ptr())}
    with Memory(known) as memory, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        evaluate(backbone, 8)[0].sum().backward()
    expected = costs(spec).activation_bytes(8) + copies_of_cpus(spec)
    assert expected == pytest.approx(memory.peak, rel=0.12 if precision == "float32" else 0.2)


def fixed_step_samplers() -> list[str]:
    from pixelflow.core import plugins

    plugins.load()
    return [name for name, entry in registry.of_kind("sampler").items() if not entry.cls.is_adaptive]


@pytest.mark.parametrize("guidance", ["none", "{type: constant, scale: 2}", "{type: constant, scale: 1}", "stagewise"])
@pytest.mark.parametrize("sampler", fixed_step_samplers())
def test_evaluations_are_those_of_a_real_sample(sampler, guidance):
    spec = make_spec(
        f"sampling={{sampler: {sampler}, guidance: {guidance}, steps: [3, 4]}}",
        "backbone.depth=1",
        "backbone.until=true",
        "objective=shortcut",
    )
    model = assembly.build_model(spec)
    plan = assembly.build_plan(spec.sampling, spec.stages)
    condition, null = model.condition(model.prepare({"label": [3]})), model.condition(model.null(1))
    _, spent = generate(model, plan, condition, null, SeededNoise([1], torch.device("cpu")), (1, 16, 16))
    assert [stage.nfe for stage in costs(spec).stages] == spent.by_stage


def test_an_adaptive_sampler_is_an_estimate():
    found = costs(make_spec("sampling.sampler=dopri5"))
    assert found.is_adaptive
    assert all(stage.nfe > 6 for stage in found.stages)
    assert costs(make_spec("sampling.sampler={type: dopri5, rtol: 1e-6}")).sample_macs > found.sample_macs


def test_recomputation_costs_a_forward_pass_and_saves_memory():
    once, again = costs(make_spec(text=PAPER)), costs(make_spec("training.activation_checkpointing=true", text=PAPER))
    assert again.training_flop == pytest.approx(once.training_flop * 4 / 3)
    assert again.activation_bytes(256) < once.activation_bytes(256) / 12  # 28 blocks of 30 numbers a token and channel


def test_the_stage_mix_weighs_the_stages():
    first = costs(make_spec("objective={stage_mix: [1, 0]}"))
    assert first.forward_macs == first.stages[0].once.macs


def test_classes_are_counted_in_the_data_only_where_the_spec_leaves_them_open():
    assert costs(make_spec("conditioners=[class_label]")).parameters == costs(make_spec()).parameters
    with pytest.raises(MissingInputError, match=r"class_label needs 'classes' .*, and not-here"):
        costs(make_spec("conditioners=[class_label]", text=PAPER))


def test_the_figures_of_an_aspect_spec_are_those_of_its_size():
    aspect = costs(make_spec("image.size=32", "image.max_aspect=2"))
    assert aspect.stages == costs(make_spec("image.size=32")).stages
