"""Opening runs, their velocities and their samples."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image
from torch import Tensor

import pixelflow
from pixelflow.core.interfaces import Sampler
from pixelflow.core.plugin_use import codes
from pixelflow.core.registry import DuplicateNameError
from pixelflow.generation.run import Run
from pixelflow.guidance.classifier_free import ConstantGuidance
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.samplers.euler import Euler
from pixelflow.system.errors import DataError, MissingInputError, SpecError, UsageError
from tests.conftest import make_run, make_spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec())


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return pixelflow.load(folder)


def test_opens_the_newest_averaged_weights_by_default(folder: Path, run: Run):
    saved = checkpoint.load(RunFolder(folder).checkpoints, parts=["ema", "model"])
    assert run.step == 7
    assert run.classes[3] == "class 3"
    assert run.source.sha256 == saved.sha256["ema.safetensors"]
    raw = pixelflow.load(folder, weights="raw", step=7)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, saved.tensors["ema"][name])
    for name, tensor in raw.model.state_dict().items():
        assert torch.equal(tensor, saved.tensors["model"][name])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": "best"}, UsageError, "one of: ema, raw"),
        ({"device": "abacus"}, UsageError, "abacus"),
        ({"step": 8}, MissingInputError, "no checkpoint of step 8"),
    ],
)
def test_what_cannot_be_opened_is_one_line(folder: Path, arguments, error, message: str):
    with pytest.raises(error, match=message) as caught:
        pixelflow.load(folder, **arguments)
    assert "\n" not in str(caught.value)


def test_a_missing_run_is_named(tmp_path: Path):
    with pytest.raises(MissingInputError, match="nowhere"):
        pixelflow.load(tmp_path / "nowhere")


def test_weights_of_another_network_are_refused_with_every_kind_of_fault(tmp_path: Path):
    path = make_run(tmp_path / "run", make_spec())
    weights = checkpoint.load(RunFolder(path).checkpoints).tensors["ema"]
    weights["extra.weight"] = weights.pop("backbone.final_modulation.bias")
    weights["backbone.patch_in.2.weight"] = torch.zeros(3, 5)
    checkpoint.save(RunFolder(path).checkpoints, 9, {"ema": weights}, {}, keep=2)
    with pytest.raises(DataError) as caught:
        pixelflow.load(path)
    line = str(caught.value)
    assert "\n" not in line
    for part in ("step 9", "missing: backbone.final_modulation.bias", "unknown: extra.weight", "(3, 5) instead of"):
        assert part in line


def states(*size: int) -> Tensor:
    return torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("stage", [0, 1])
def test_velocity_is_the_networks_at_its_own_time(run: Run, stage: int):
    own = run.model.cascade.stages[stage]
    x, tau = states(8 << stage, 8 << stage), torch.tensor([0.25, 0.5])
    condition = run.model.condition(run.model.prepare({"label": [1, 4]}))
    with torch.no_grad():
        expected = run.model([x], [own], [tau], condition)[0]
    got = run.velocity(x, own.network_time(tau), labels=[1, "class 4"])
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_velocity_takes_one_time_and_one_label_for_all(run: Run):
    x = states(16, 16)
    spread = run.velocity(x, torch.tensor([700.0, 700.0]), labels=torch.tensor([2, 2]))
    assert torch.equal(run.velocity(x, 700, labels=2), spread)
    assert not torch.equal(run.velocity(x, 700, labels=3), spread)
    null = run.model.condition(run.model.null(2))
    last = run.model.cascade.stages[-1]
    with torch.no_grad():
        unlabelled = run.model([x], [last], [last.tau(torch.tensor([700.0, 700.0]))], null)[0]
    torch.testing.assert_close(run.velocity(x, 700), unlabelled, atol=1e-5, rtol=1e-5)


def test_velocity_of_another_size_finds_its_stage_by_time(tmp_path: Path):
    """Stages with patches of their own differ in their weights, so a wrong stage would show."""
    run = pixelflow.load(make_run(tmp_path / "run", make_spec("cascade.patch=[2,4]")))
    first, last = run.model.cascade.stages
    x = states(24, 32)
    both = run.velocity(x, torch.tensor([first.network_time(0.5), last.network_time(0.5)]), labels=1)
    condition = run.model.condition(run.model.prepare({"label": [1]}))
    for row, stage in enumerate((first, last)):
        with torch.no_grad():
            alone = run.model([x[row : row + 1]], [stage], [torch.tensor([0.5])], condition)[0]
        torch.testing.assert_close(both[row : row + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "time", "labels", "message"),
    [
        (torch.zeros(1, 3, 16, 16), 5, 0, r"\(b 1 h w\), not \(1, 3, 16, 16\)"),
        (torch.zeros(1, 1, 15, 16), 5, 0, "15x16 pixels cannot be cut into patches of 2"),
        (
            torch.zeros(1, 1, 16, 16),
            1000,
            0,
            "time 1000 is outside .* 0 to below 1000: at 1000 the last stage has ended",
        ),
        (torch.zeros(1, 1, 16, 16), float("nan"), 0, "time nan is outside"),
        (torch.zeros(2, 1, 16, 16), torch.ones(3), 0, r"one number or 2, one an image, not of shape \(3,\)"),
        (torch.zeros(1, 1, 16, 16), torch.ones(1, 1), 0, r"not of shape \(1, 1\)"),
        (torch.zeros(1, 1, 16, 16), 5, 11, r"label 11 is outside 0\.\.9"),
        (torch.zeros(1, 1, 16, 16), 5, 10, r"label 10 is outside 0\.\.9"),
        (torch.zeros(1, 1, 16, 16), 5, "clas 7", "did you mean 'class 7'"),
        (torch.zeros(2, 1, 16, 16), 5, [1, 2, 3], "2 images need 2 labels, not 3"),
    ],
)
def test_velocity_names_what_does_not_fit(run: Run, x: Tensor, time, labels, message: str):
    with pytest.raises(UsageError, match=message):
        run.velocity(x, time, labels=labels)


def test_evaluations_are_counted_by_stage(run: Run):
    drawn = run.draw(labels=[1, 2, 3], steps=[2, 3], guidance=[1, 2], sampler="heun")
    assert drawn.nfe == (4, 10)  # Heun's step to the clean image is one evaluation


def test_samples_repeat_by_seed(run: Run):
    three = run.sample(labels=[1, 2, 3], seed=5)
    assert three.shape == (3, 1, 16, 16)
    assert torch.equal(three, run.sample(labels=[1, 2, 3], seeds=[5, 6, 7]))
    torch.testing.assert_close(three[2:], run.sample(labels=3, seed=7), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(three, run.sample(labels=[1, 2, 3], seed=6))


@pytest.mark.parametrize(
    ("arguments", "count"),
    [({}, 10), ({"count": 3}, 3), ({"labels": 4}, 1), ({"labels": [1, 2], "count": 5}, 5), ({"seeds": [4, 9]}, 2)],
)
def test_how_many_images_are_drawn(run: Run, arguments, count: int):
    assert len(run.sample(steps=1, guidance="none", **arguments)) == count


def test_labels_repeat_in_order(run: Run):
    cycled = run.sample(labels=["class 1", 2], count=3, steps=1)
    torch.testing.assert_close(cycled, run.sample(labels=[1, 2, 1], steps=1), atol=1e-5, rtol=1e-5)


def test_given_noise_is_what_a_seed_would_draw(run: Run):
    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(1, 1, 8, 8, generator=generator)]
    noise.append(run.model.cascade.up.shape_noise(torch.randn(1, 1, 16, 16, generator=generator)))
    torch.testing.assert_close(run.sample(labels=4, noise=noise), run.sample(labels=4, seed=3))


def test_given_noise_may_be_of_any_precision(run: Run):
    noise = [states(8, 8), states(16, 16)]
    wanted = run.sample(labels=[1, 2], noise=noise)
    assert torch.equal(run.sample(labels=[1, 2], noise=[part.double() for part in noise]), wanted)


def test_given_noise_decides_the_size(run: Run):
    noise = [states(12, 8), states(24, 16)]
    assert run.sample(labels=[1, 2], noise=noise, steps=1).shape == (2, 1, 24, 16)
    assert run.sample(labels=1, size=24, steps=1).shape == (1, 1, 24, 24)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"noise": [states(8, 8)], "labels": 1}, UsageError, "fewer tensors"),
        ({"noise": [states(8, 8), states(8, 8)], "labels": 1}, UsageError, "is needed"),
        ({"noise": [states(8, 8), states(16, 16)[:1]]}, UsageError, "one tensor a stage"),
        ({"noise": []}, UsageError, "one tensor a stage"),
        ({"noise": states(8, 8)}, UsageError, r"must be a list, one tensor a stage \(b 1 h w\), not \(2, 1, 8, 8\)"),
        ({"noise": [states(4, 4), states(8, 8), states(16, 16)]}, UsageError, "3 tensors of noise do not suit the 2"),
        ({"noise": [states(9, 8), states(18, 16)]}, UsageError, "images of 16x18 .* cannot be cut into patches"),
        ({"noise": [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16)]}, UsageError, r"\(b 1 h w\), not"),
        ({"count": 0}, UsageError, "count must be 1 to 10000000, not 0"),
        ({"size": 17}, UsageError, "images of 17x17"),
        ({"steps": 10**9}, SpecError, "sampling.steps: must be at most 100000"),
        ({"guidance": [1, 1.5, 2]}, SpecError, r"guidance\.shares: has 3 entries for 2 stages"),
        ({"guidance": [1, float("nan")]}, SpecError, "finite"),
        ({"seeds": [1, 2], "count": 3}, UsageError, "3 images need 3 seeds"),
        ({"seeds": [], "count": 3}, UsageError, "3 images need 3 seeds"),
        ({"seed": -1}, UsageError, "seed -1 is outside 0 to"),
        ({"count": 10**8}, UsageError, "count must be 1 to 10000000"),
        ({"text": "a cat"}, UsageError, "not conditioned on captions"),
        ({"steps": 0}, SpecError, "sampling.steps"),
        ({"steps": [1, 2, 3]}, SpecError, "has 3 entries for 2 stages"),
        ({"sampler": "eular"}, SpecError, "did you mean 'euler'"),
        ({"guidance": {"type": "stagewise", "shares": [1.0]}}, SpecError, "has 1 entries for 2 stages"),
        ({"guidance": -1}, SpecError, "scale"),
    ],
)
def test_sample_names_what_does_not_fit(run: Run, arguments, error, message: str):
    with pytest.raises(error, match=message) as caught:
        run.sample(**arguments)
    assert "\n" not in str(caught.value)


def test_components_are_given_by_name_block_params_or_number(run: Run):
    two = run.sample(labels=1, guidance=2.0)
    assert torch.equal(two, run.sample(labels=1, guidance={"type": "constant", "scale": 2.0}))
    assert torch.equal(two, run.sample(labels=1, guidance=ConstantGuidance.Params(scale=2.0)))
    assert not torch.equal(two, run.sample(labels=1))
    assert torch.equal(two, run.sample(labels=1, guidance=[2.0, 2.0]))
    rising = run.sample(labels=1, guidance={"type": "stagewise", "scale": 3.0, "shares": [0, 1]})
    assert torch.equal(rising, run.sample(labels=1, guidance=(1, 3.0)))
    assert not torch.equal(run.sample(labels=1, grid="official"), run.sample(labels=1, grid="uniform"))


def test_what_guidance_would_ignore_is_refused(run: Run, folder: Path):
    with pytest.raises(UsageError, match=r"guidance 'constant' of scale 1\.5 makes no use of a weaker run"):
        run.sample(labels=1, weak=run)
    with pytest.raises(UsageError, match="'autoguidance' of scale 1 makes no use of a weaker run"):
        run.sample(labels=1, weak=run, guidance={"type": "autoguidance", "scale": 1})
    with pytest.raises(UsageError, match="not conditioned on captions"):
        run.sample(labels=1, negatives="b")


class Still(Sampler):
    """Not registered, as one that is written in a notebook."""

    order, nfe_per_step = 1, 1

    class Params(Sampler.Params):
        type: Literal["mine.still"] = "mine.still"

    def integrate(self, field, x, points, noise):
        return x


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        (print, "needs the name of a sampler"),
        (ConstantGuidance, "no sampler is called 'constant'"),
        (Sampler, "Sampler does not define integrate"),
    ],
)
def test_what_python_hands_over_in_place_of_a_name_is_explained_in_a_line(run: Run, sampler, said: str):
    with pytest.raises(SpecError, match=said) as caught:
        run.sample(labels=1, sampler=sampler)
    assert "\n" not in str(caught.value)
    assert "discriminator" not in str(caught.value)


def in_a_cell(speed: float) -> type[Sampler]:
    """The class that a notebook's cell defines each time it runs."""

    class Mine(Sampler):
        order, nfe_per_step = 1, 1

        class Params(Sampler.Params):
            type: Literal["mine.cell"] = "mine.cell"
            shift: float = 0.0

        params: Params

        def integrate(self, field, x, points, noise):
            return x + speed * field(x, points[0]) + self.params.shift

    return Mine


def test_components_are_handed_over_and_defined_again(run: Run):
    still = run.sample(labels=1, sampler=Still)
    assert torch.equal(run.sample(labels=1, sampler=Still(Still.Params())), still)
    assert torch.equal(run.sample(labels=1, sampler=Still.Params()), still)
    slow, fast = in_a_cell(0.5), in_a_cell(2.0)
    first = run.sample(labels=1, sampler=slow)
    assert torch.equal(run.sample(labels=1, sampler="mine.cell"), first)
    second = run.draw(labels=1, sampler=fast)
    assert not torch.equal(second.images, first)
    assert torch.equal(run.sample(labels=1, sampler={"type": "mine.cell"}), second.images)
    shifted = run.draw(labels=1, sampler=fast.Params(shift=0.25))
    assert not torch.equal(shifted.images, second.images)
    assert shifted.order.model_dump(mode="json")["sampling"]["sampler"] == {"type": "mine.cell", "shift": 0.25}
    assert codes(slow.Params()) == {}, "it is not what the name stands for any more"
    assert list(codes(fast.Params())["plugins"]) == ["sampler mine.cell of this session"]
    with pytest.raises(SpecError, match="shift"):
        run.sample(labels=1, sampler={"type": "mine.cell", "shift": "far"})
    again = make_spec("sampling.sampler={type: mine.cell, shift: 1.0}")
    assert type(again.sampling.sampler) is fast.Params
    with pytest.raises(DuplicateNameError, match="'euler' is already taken by pixelflow"):
        pixelflow.register(type("Euler", (Euler,), {"Params": type("Params", (Euler.Params,), {})}))


def test_runs_and_results_show_themselves(run: Run):
    assert repr(run).startswith("Run(name: ")
    assert "step: 7 (ema weights), images: 16x16, 2 stages, drawn from: labels" in repr(run)
    assert run._repr_html_().count("<tr>") == 6
    assert "<b>" not in Run(run.spec.model_copy(update={"name": "<b>"}), run.model, (), run.source)._repr_html_()
    drawn = run.draw(labels=[1, 2], steps=[2, 3], guidance=2.0)
    assert repr(drawn) == "Result(2 images of 16x16, 10 NFE each (4 + 6 by stage))"
    with Image.open(io.BytesIO(drawn._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert picture.width > 32
    assert [picture.size for picture in run.images(labels=[1, 2], steps=1)] == [(16, 16)] * 2


def test_params_of_what_is_registered_are_taken(run: Run):
    assert make_spec().model_validate(make_spec().model_dump() | {"backbone": make_spec().backbone}) == make_spec()
    assert torch.equal(run.sample(labels=1, sampler=Euler.Params()), run.sample(labels=1, sampler="euler"))


def test_velocity_takes_prompts_as_sample_does(tmp_path: Path):
    run = pixelflow.load(make_run(tmp_path / "text", make_spec("conditioners=[{type: bytes, dim: 16}]")))
    x = states(16, 16)
    assert torch.equal(run.velocity(x, 700, prompts="a cat"), run.velocity(x, 700, text="a cat"))
    assert not torch.equal(run.velocity(x, 700, prompts="a cat"), run.velocity(x, 700))
    with pytest.raises(UsageError, match="give prompts= or its older name"):
        run.velocity(x, 700, prompts="a cat", text="a cat")


def test_a_run_is_found_at_home(folder: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert pixelflow.load(f"~/{folder.name}").step == 7


def test_autoguidance_takes_a_weaker_run_of_the_same_cascade(run: Run, folder: Path, tmp_path: Path):
    weak = pixelflow.load(folder, weights="raw")
    other = pixelflow.load(make_run(tmp_path / "other", make_spec("cascade.stages=1")))
    guided = run.sample(labels=1, weak=weak, guidance="autoguidance")
    assert not torch.equal(run.sample(labels=1), guided)
    inside = {"type": "interval", "low": 0, "high": 1, "guidance": "autoguidance"}
    torch.testing.assert_close(run.sample(labels=1, weak=weak, guidance=inside), guided)
    with pytest.raises(UsageError, match="another cascade"):
        run.sample(labels=1, weak=other, guidance="autoguidance")


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = make_spec("conditioners=[{type: bytes, dim: 16}]")
    return pixelflow.load(make_run(tmp_path_factory.mktemp("runs") / "text", spec))


def test_a_text_run_samples_from_captions_or_from_their_embeddings(text_run: Run):
    encode = text_run.model.conditioners[0]
    with torch.no_grad():
        asked, null = encode(encode.prepare(["cat", "a dog"])), encode(encode.null(1))
    told = text_run.sample(text=["cat", "a dog"], seed=3)
    given = text_run.sample(text=asked.tokens, mask=asked.mask, uncond_text=null.tokens, uncond_mask=null.mask, seed=3)
    torch.testing.assert_close(given, told, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(text_run.sample(text="cat", count=2, seed=2)[1:], told[:1], atol=1e-5, rtol=1e-5)


def test_guidance_can_lead_away_from_another_caption(text_run: Run):
    plain = text_run.sample(text="cat")
    torch.testing.assert_close(text_run.sample(text="cat", uncond_text=""), plain)
    assert not torch.allclose(text_run.sample(text="cat", uncond_text="dog"), plain, atol=1e-4)
    unguided = text_run.sample(text="cat", guidance="none")
    torch.testing.assert_close(text_run.sample(text="cat", uncond_text="cat"), unguided, atol=1e-4, rtol=1e-4)


def test_a_text_run_names_what_it_lacks(text_run: Run):
    with pytest.raises(UsageError, match="in Python prompts="):
        text_run.sample()
    with pytest.raises(UsageError, match="a negative prompt does nothing without guidance"):
        text_run.sample(prompts="a cat", negatives="b", guidance=1)
    with pytest.raises(UsageError, match="give uncond_text"):
        text_run.sample(text=torch.zeros(1, 3, 16))
    with pytest.raises(UsageError, match="not conditioned on labels"):
        text_run.sample(text="cat", labels=1)
    assert text_run.sample(text=torch.zeros(1, 3, 16), guidance="none").shape == (1, 1, 16, 16)


def test_numbered_classes_are_what_the_command_line_calls_them(tmp_path: Path):
    """Listed as older versions sorted folders of numbers: class 2 is the fourth, whoever asks for it and how."""
    names = ("0", "1", "10", "2", "3", "4", "5", "6", "7", "8")
    run = pixelflow.load(make_run(tmp_path / "run", make_spec(), classes=names))
    assert run.label_indices([2]) == run.label_indices("2") == [3]
    assert torch.equal(run.sample(labels=[2], steps=1), run.sample(labels="2", steps=1))
    x = states(16, 16)
    condition = run.model.condition(run.model.prepare({"label": [3, 3]}))
    last = run.model.cascade.stages[-1]
    with torch.no_grad():
        expected = run.model([x], [last], [last.tau(torch.tensor([700.0, 700.0]))], condition)[0]
    torch.testing.assert_close(run.velocity(x, 700, labels=2), expected, atol=1e-5, rtol=1e-5)
    for label in (9, "9", 11, -1):
        with pytest.raises(UsageError, match="no class is called"):
            run.sample(labels=label)


def test_no_class_is_no_class(run: Run):
    for label in (10, "10", [3, 10], torch.tensor([10])):
        with pytest.raises(UsageError, match=r"label 10 is outside 0\.\.9"):
            run.sample(labels=label)


def test_a_weaker_run_finds_the_classes_by_name(run: Run, folder: Path, tmp_path: Path):
    """The weaker run's table is the same but for the order; so is what it guides to."""
    weak = pixelflow.load(make_run(tmp_path / "weak", make_spec(), seed=5))
    backwards = make_run(tmp_path / "backwards", make_spec(), seed=5, classes=weak.classes[::-1])
    saved = RunFolder(backwards).checkpoints
    tensors = checkpoint.load(saved, parts=["ema", "model"]).tensors
    for part in tensors.values():
        part["conditioners.0.table.weight"] = part["conditioners.0.table.weight"][[*range(9, -1, -1), 10]]
    checkpoint.save(saved, 8, tensors, {}, keep=2)
    options = {"labels": [1, "class 7", 9], "guidance": "autoguidance", "steps": 1}
    guided = run.sample(**options, weak=weak)
    torch.testing.assert_close(run.sample(**options, weak=pixelflow.load(backwards)), guided)


def test_a_weaker_run_of_other_classes_is_refused(run: Run, tmp_path: Path):
    few = pixelflow.load(make_run(tmp_path / "few", make_spec("conditioners.0.classes=2"), classes=run.classes[3:5]))
    options = {"guidance": "autoguidance", "steps": 1}
    assert run.sample(labels=[3, 4], weak=few, **options).shape[0] == 2
    with pytest.raises(UsageError, match="does not know these classes, and cannot guide them: class 1, class 7"):
        run.sample(labels=[7, 3, 1], weak=few, **options)
    others = pixelflow.load(make_run(tmp_path / "others", make_spec(), classes=tuple("abcdefghij")))
    with pytest.raises(DataError, match="this run and the weaker run have different classes"):
        run.sample(labels=[3], weak=others, **options)
    nameless = pixelflow.load(make_run(tmp_path / "nameless", make_spec("conditioners.0.classes=4"), classes=()))
    with pytest.raises(UsageError, match="10 classes and the weaker run 4, and one of them no names"):
        run.sample(labels=[3], weak=nameless, **options)
