"""The field of its own goes from the data through training to samples, records and evaluation."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pixelflow_superres.lowered import Lowered
from pixelflow_superres.lowering import Mean
from pixelflow_superres.pick import Pick
from pixelflow_superres.pixels import Pixels

import pixelflow
from pixelflow import contracts
from pixelflow.cli.app import main
from pixelflow.core import plugins, reading
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.gallery import read_order
from pixelflow.system.errors import DataError, SpecError, UsageError

SPEC = """
name: enlarger
image: {size: 16, channels: 1}
data: {type: superres.lowered, data: digits, factor: 4}
cascade: {stages: 2, patch: 4}
backbone: {type: dit, depth: 1, heads: 2, head_dim: 16}
conditioners: [{type: superres.pixels, dim: 16}]
training: {steps: 12, batch_size: 32, learning_rate: 1e-2, workers: 1, held_out: {fraction: 0.02, every: 12},
           sample_every: 12, samples: 2, log_every: 1, ema: 0.5}
sampling: {steps: 2, guidance: {type: constant, scale: 1.5}}
evaluation: {images: 8, metrics: [{type: frechet, extractor: random_conv}]}
"""


def make_spec(*overrides):
    return reading.validate(ExperimentSpec, reading.override(reading.parse(SPEC, "enlarger.yaml"), overrides))


@pytest.fixture(autouse=True, scope="module")
def loaded():
    plugins.load()


@pytest.mark.parametrize("component", [Lowered, Pixels, Mean, Pick])
def test_keeps_its_contract(component):
    for outcome in contracts.check(component.Params()):
        assert outcome.status == "kept", f"{outcome.promise} {outcome.reason}"


def test_an_image_brings_its_small_copy_along():
    data = Lowered.Params(factor=2).build(height=8, width=8, channels=1)
    sample = pickle.loads(pickle.dumps(data)).sample(3, torch.Generator())
    assert torch.equal(sample.fields["lowres"], F.avg_pool2d(sample.image, 2))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return pixelflow.train(make_spec(), out=tmp_path_factory.mktemp("runs"), device="cpu")


def test_it_is_trained_in_workers_held_out_and_previewed(run):
    folder = Path(run.source.run)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    assert any("held_out" in line for line in lines)
    assert (folder / "samples/step-00000012.png").is_file()
    assert run.reads == {"lowres"}
    assert "drawn from: 'lowres'" in repr(run)


def small(*seeds):
    """Images (b 1 4 4)."""
    return torch.stack([torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in seeds])


def test_images_follow_the_field_and_values_take_turns(run):
    both = run.sample(fields={"lowres": small(0, 1)}, seeds=[5, 5, 5], count=3)
    assert torch.equal(both[0], both[2])
    assert not torch.allclose(both[0], both[1])
    assert torch.equal(both, run.draw(fields={"lowres": [one.numpy() for one in small(0, 1)]}, seeds=[5] * 3).images)
    x = torch.zeros(2, 1, 16, 16)
    one, other = run.velocity(x, 900.0, fields={"lowres": small(0, 1)})
    assert not torch.allclose(one, other)
    assert torch.allclose(run.velocity(x, 900.0, fields={"lowres": small(0)})[1], one, atol=1e-5)
    assert not torch.allclose(run.velocity(x, 900.0)[0], one)


def typed(*words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code or 0


def test_the_command_line_gives_files_and_its_record_repeats_them(run, tmp_path, capsys):
    np.save(tmp_path / "a.npy", small(0)[0].numpy())
    grey = torch.randint(0, 256, (4, 4), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    Image.fromarray(grey.numpy()).save(tmp_path / "b.png")
    files = [f"lowres={tmp_path / name}" for name in ("a.npy", "b.png")]
    options = ["--device", "cpu", "--out"]
    asked = ["--field", files[0], "--field", files[1], "--count", 3]
    assert typed("sample", run.source.run, *asked, *options, tmp_path / "one") == 0
    images = [small(0)[0], grey[None].float() / 127.5 - 1]
    drawing = run.prepare(fields={"lowres": images}, count=3)
    assert drawing.order == read_order(tmp_path / "one/samples.json")
    (tmp_path / "a.npy").unlink()
    assert typed("sample", run.source.run, "--repeat", tmp_path / "one/samples.json", *options, tmp_path / "two") == 0
    for index in range(3):
        name = f"{index:06}.png"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert typed("sample", run.source.run, *asked, "--npz", tmp_path / "n.npz", "--device", "cpu") == 66
    assert "a.npy: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "this run draws from 'lowres'; give --field lowres=FILE.npy"),
        (["--field", "lowers=x.npy"], 66, "x.npy: cannot be read"),
        (["--field", "lowres"], 2, "--field lowres: must be NAME=VALUE"),
        (["--labels", "1"], 2, "this run is not conditioned on labels"),
        (["--field", "lowres=BIG"], 2, "lowres must be images (c h w) of (1, 4, 4), not (2, 4, 4)"),
        (["--field", "lowres=TEXT"], 65, "is no array of numbers"),
        (["--field", "lowres=NAN"], 65, "holds what is not finite"),
    ],
)
def test_mistakes_are_told_in_one_line(run, tmp_path, monkeypatch, capsys, options, code, message):
    monkeypatch.chdir(tmp_path)
    np.save("BIG.npy", np.zeros((2, 4, 4)))
    np.save("NAN.npy", np.full((1, 4, 4), np.nan))
    Path("TEXT.npy").write_text("no array")
    options = [f"{one}.npy" if one.isupper() or one[7:].isupper() else one for one in options]
    assert typed("sample", run.source.run, *options, "--device", "cpu") == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_python_refuses_what_is_no_list_of_arrays(run):
    for wrong, message in (("x.png", "must be a list of arrays"), ([["a"]], "must hold arrays of numbers")):
        with pytest.raises(UsageError, match=message):
            run.sample(fields={"lowres": wrong})
    with pytest.raises(UsageError, match="not conditioned on 'pose'"):
        run.sample(fields={"pose": small(0)})


def test_it_is_evaluated_from_the_datas_own_copies(run, tmp_path):
    (first,) = pixelflow.evaluate(run, out=tmp_path / "evaluation")
    assert first.metric.startswith("frechet")


def test_data_without_the_field_are_refused_before_anything_is_written(tmp_path):
    spec = make_spec("data=digits", "conditioners=[{type: superres.pixels, shape: [1, 4, 4]}]")
    with pytest.raises(DataError, match=r"superres.pixels: the data set digits has no 'lowres'"):
        pixelflow.train(spec, out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["plan"], ["data"], ["validate"]])
def test_commands_on_specs_know_it(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("enlarger.yaml").write_text(SPEC)
    assert typed(*command, "enlarger.yaml") == 0
    said = capsys.readouterr()
    assert command != ["data"] or "lowres (1x4x4)" in said.out + said.err


def test_it_is_measured(run, capsys):
    assert typed("bench", run.source.run, "--batches", 2, "--device", "cpu") == 0


def test_its_command_enlarges_one_picture(run, tmp_path, capsys):
    np.save(tmp_path / "small.npy", small(0)[0].numpy())
    asked = ["superres-enlarge", run.source.run, tmp_path / "small.npy", "--seed", 3, "--out", tmp_path / "large.png"]
    assert typed(*asked) == 0
    (wanted,) = run.images(fields={"lowres": small(0)}, seed=3)
    assert Image.open(tmp_path / "large.png").tobytes() == wanted.tobytes()
    assert typed(*asked) == 73
    assert "large.png: is there already" in capsys.readouterr().err


def test_its_command_is_in_the_help(capsys):
    assert typed("--help") == 0
    assert "Commands of plugins:\n    superres-enlarge  of pixelflow-superres 1.0.0\n" in capsys.readouterr().out


def test_the_kind_of_its_own_is_chosen_in_its_slot():
    data = make_spec("data.lowering=superres.pick").data.build(height=8, width=8, channels=1)
    sample = data.sample(3, torch.Generator())
    assert torch.equal(sample.fields["lowres"], sample.image[:, ::4, ::4])
    assert data.fingerprint != make_spec().data.build(height=8, width=8, channels=1).fingerprint
    with pytest.raises(SpecError, match=r"no superres.lowering is called 'superres.pik'; did you mean 'superres.pick'"):
        make_spec("data.lowering=superres.pik")


def test_commands_know_the_kind_of_its_own(capsys):
    assert typed("components", "superres.lowering") == 0
    listed = capsys.readouterr().out
    assert "superres.lowering: makes the small copy  README.md of pixelflow-superres\n" in listed
    assert "superres.pick  [superres (pixelflow-superres 1.0.0)]" in listed
    assert typed("schema") == 0
    assert '"superres.pick"' in capsys.readouterr().out
    assert typed("check-plugin", "superres") == 0
    checked = capsys.readouterr().out
    assert checked.startswith("kind superres.lowering\n  kept ")
    assert "superres.lowering superres.pick\n" in checked
