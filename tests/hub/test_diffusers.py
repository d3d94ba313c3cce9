"""``pixelflow export diffusers``: the folder opened by the real diffusers, beside the run that it was written from."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelflow.cli.app import main
from pixelflow.generation.pictures import to_pil
from pixelflow.generation.run import Run
from tests.conftest import make_run, make_spec

TEXT = ("image={size: 16, channels: 3}", "conditioners=[{type: bytes, dim: 16}]", "sampling.batch_size=3")


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    make_run(folder / "labels", make_spec("sampling.batch_size=2"))
    make_run(folder / "text", make_spec(*TEXT))
    for name in ("labels", "text"):
        assert call("export", "diffusers", folder / name, folder / f"{name}-pipe") == 0
    return folder


class Hidden:
    """Lets nobody import pixelflow."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pixelflow":
            raise ModuleNotFoundError(f"{name} is hidden", name=name)


@pytest.fixture(scope="module")
def pipes(exported, diffusers):
    """Opened and tried once without any pixelflow at hand."""
    diffusers.utils.logging.disable_progress_bar()
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "pixelflow"}
    sys.meta_path.insert(0, hidden := Hidden())
    try:
        opened = {}
        for name in ("labels", "text"):
            pipe = diffusers.DiffusionPipeline.from_pretrained(exported / f"{name}-pipe", trust_remote_code=True)
            pipe.set_progress_bar_config(disable=True)
            pipe(**({"prompt": "a"} if name == "text" else {"class_labels": 1}), num_inference_steps=1)
            opened[name] = pipe
    finally:
        sys.meta_path.remove(hidden)
        assert not any(name.partition(".")[0] == "pixelflow" for name in sys.modules)
        sys.modules.update(kept)
    return opened


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_classes_steps_and_guidance_by_stage_are_the_runs_bit_for_bit(exported, pipes):
    run = Run.open(exported / "labels", device="cpu")
    expected = run.sample(labels=["class 3", 1, 4], seed=5, steps=[2, 3], guidance=[1.0, 2.5], sampler="euler")
    made = pipes["labels"](
        class_labels=["class 3", 1, 4],
        generator=generators(5, 6, 7),
        num_inference_steps=[2, 3],
        guidance_scale=[1.0, 2.5],
        sampler="euler",
        output_type="latent",
    )
    assert torch.equal(made.images, expected)


def test_captions_negatives_and_sizes_are_the_runs_bit_for_bit(exported, pipes):
    run = Run.open(exported / "text", device="cpu")
    prompts = ["a red circle", "two blue squares"]
    repeated = [prompt for prompt in prompts for _ in range(2)]
    expected = run.sample(prompts=repeated, negatives="grey", seeds=[4, 3, 2, 1], size=(32, 16), guidance=2.0)
    made = pipes["text"](
        prompt=prompts,
        negative_prompt="grey",
        num_images_per_prompt=2,
        generator=generators(4, 3, 2, 1),
        height=32,
        width=16,
        guidance_scale=2.0,
        output_type="latent",
    )
    assert torch.equal(made.images, expected)


def test_what_is_left_out_is_as_in_the_spec_and_all_classes_are_drawn(exported, pipes):
    run = Run.open(exported / "labels", device="cpu")
    pictures = pipes["labels"](generator=generators(*range(10))).images
    assert [np.asarray(one).tolist() for one in pictures] == [
        np.asarray(one).tolist() for one in to_pil(run.sample(seed=0))
    ]


def test_a_callback_sees_every_step_of_every_stage_and_may_change_the_state(exported, pipes):
    run = Run.open(exported / "labels", device="cpu")
    seen = []

    def halve(pipe, step, time, tensors):
        seen.append((step, tuple(tensors["latents"].shape[-2:]), time))
        assert tensors["velocity"].shape == tensors["latents"].shape
        return {"latents": tensors["latents"] / 2} if step == 1 else None

    made = pipes["labels"](
        class_labels=2,
        generator=generators(9),
        num_inference_steps=[2, 1],
        callback_on_step_end=halve,
        callback_on_step_end_tensor_inputs=("latents", "velocity"),
        output_type="latent",
    ).images
    stages = run.model.cascade.stages
    assert [(step, size) for step, size, _ in seen] == [(0, (8, 8)), (1, (8, 8)), (2, (16, 16))]
    assert seen[1][2] == stages[0].window[1]
    expected = run.sample(
        labels=2, seed=9, steps=[2, 1], on_step=lambda stage, tau, x, v: x / 2 if not stage.index and tau == 1 else None
    )
    assert torch.equal(made, expected)
    with pytest.raises(ValueError, match="weights"):
        pipes["labels"](class_labels=2, callback_on_step_end_tensor_inputs=("weights",))


def test_an_interruption_gives_the_last_state_enlarged(pipes):
    kept = []

    def stop(pipe, step, time, tensors):
        kept.append(tensors["latents"])
        pipe._interrupt = step == 1

    made = pipes["labels"](
        class_labels=2, callback_on_step_end=stop, num_inference_steps=5, output_type="latent"
    ).images
    assert len(kept) == 2
    assert torch.equal(made, kept[1].repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert len(pipes["labels"](class_labels=[2, 3], num_inference_steps=1).images) == 2


def test_one_generator_draws_for_all_in_order(pipes):
    pipe, shared = pipes["labels"], torch.Generator().manual_seed(3)
    two = pipe(class_labels=[1, 1], generator=shared, num_inference_steps=1, output_type="pt").images
    assert not torch.equal(two[0], two[1])
    again = pipe(class_labels=[1, 1], generator=shared, num_inference_steps=1, output_type="pt").images
    assert not torch.equal(two, again)
    assert two.min() >= 0
    assert two.max() <= 1
    torch.manual_seed(8)
    first = pipe(class_labels=1, num_inference_steps=1, output_type="np").images
    torch.manual_seed(8)
    assert np.array_equal(first, pipe(class_labels=1, num_inference_steps=1, output_type="np").images)
    with pytest.raises(ValueError, match="2 generators"):
        pipe(class_labels=[1, 2], generator=generators(1, 2, 3))


def test_bad_input_is_said_in_the_toolkits_own_words(pipes):
    for wrong, said in (({"class_labels": "cat"}, "no class is called"), ({"num_inference_steps": [1, 2, 3]}, "steps")):
        with pytest.raises(Exception, match=said):
            pipes["labels"](**wrong)
    with pytest.raises(ValueError, match="output_type"):
        pipes["labels"](class_labels=1, num_inference_steps=1, output_type="jpeg")


def test_weights_of_16_bits_draw_nearly_the_same(exported, diffusers):
    opened = [
        diffusers.DiffusionPipeline.from_pretrained(exported / "labels-pipe", trust_remote_code=True, torch_dtype=kind)
        for kind in (torch.float32, torch.bfloat16)
    ]
    exact, half = (pipe(class_labels=[1, 2], generator=generators(1, 2), output_type="pt").images for pipe in opened)
    assert opened[1].transformer.dtype == torch.bfloat16
    assert 0 < (exact - half).abs().mean() < 0.02


def test_the_code_in_the_folder_imports_no_pixelflow(exported):
    files = [*(exported / "labels-pipe").rglob("*.py")]
    assert len(files) > 100
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            named = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in named if name.partition(".")[0] == "pixelflow"], file


def test_the_card_tells_what_it_is_and_the_grid_comes_along(tmp_path):
    run = make_run(tmp_path / "run", make_spec())
    assert call("sample", run, "--labels", "3", "--steps", "1", "--weights", "raw", "--device", "cpu") == 0
    assert call("export", "diffusers", run, tmp_path / "pipe", "--weights", "raw") == 0
    card = (tmp_path / "pipe/README.md").read_text("utf-8")
    assert card.startswith("---\nlibrary_name: diffusers\npipeline_tag: unconditional-image-generation\n")
    for said in (
        "![Images that it draws](grid.png)",
        "raw, step 7",
        "type: digits",
        "It was not evaluated",
        "spec.yaml",
    ):
        assert said in card
    index = json.loads((tmp_path / "pipe/model_index.json").read_text())
    assert index["id2label"]["3"] == "class 3"
    assert (tmp_path / "pipe/grid.png").read_bytes() == (run / "samples/drawn/grid.png").read_bytes()
    assert call("export", "diffusers", run, tmp_path / "pipe") == 73
