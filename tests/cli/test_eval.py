"""``pixelflow eval``: a run or a folder, measured, recorded, and gone on with where it stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import pixelflow
from pixelflow.cli.app import main
from pixelflow.system.errors import UsageError
from tests.conftest import make_run, make_spec

METRICS = "evaluation.metrics=[{type: frechet, extractor: {type: pixels_pca, components: 8}}, label_agreement]"

FRECHET = "evaluation.metrics=[frechet]"


@pytest.fixture
def run(tmp_path):
    spec = make_spec("image.size=8", "sampling.steps=1", "sampling.batch_size=8")
    return make_run(tmp_path / "tiny", spec, classes=tuple("0123456789"))


@pytest.fixture
def digits_folder(tmp_path):
    """Real digits in class folders."""
    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images[:200], digits.target[:200], strict=True)):
        folder = tmp_path / "digits" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image / 16 * 255).astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "digits"


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["eval", *map(str, arguments)])
    return int(stop.value.code or 0)


def recorded(text: str) -> dict:
    return json.loads(Path(re.search(r"written to (.*)", text)[1]).read_text())


def test_a_run_is_measured_against_its_data(run, capsys):
    assert call(run, "--images", 20, "--guidance", 2.5, METRICS) == 0
    printed = capsys.readouterr().out
    body = recorded(printed)
    subject = body["subject"]
    assert (subject["images"], subject["seed"], subject["step"], subject["weights"]) == (20, 0, 7, "ema")
    assert subject["sampling"]["guidance"] == {"type": "constant", "scale": 2.5}
    assert subject["sampling"]["sampler"] == {"type": "euler"}
    assert body["reference"]["measured"] == 1797
    assert "frechet, pixels_pca  (frechet of pixelflow; 20 images against 1,797)\n" in printed
    frechet, agreement = body["results"]
    assert frechet["settings"]["extractor"] == {"type": "pixels_pca", "components": 8, "side": 32}
    assert frechet["values"]["ratio"] > 3
    assert agreement["values"]["accuracy_on_real"] > 0.97
    for name in ("distance", "distance between real halves", "ratio", "agreement", "accuracy on real"):
        assert name in printed


def test_python_measures_what_the_command_measures(run, capsys, tmp_path):
    assert call(run, "--images", 20, "--guidance", 2.5, METRICS) == 0
    body = recorded(capsys.readouterr().out)
    opened = pixelflow.load(run)
    told: list[tuple[str, int, int]] = []
    found = pixelflow.evaluate(
        opened, "evaluation.images=20", METRICS, guidance=2.5, out=tmp_path / "out",
        progress=lambda *progress: told.append(progress),
    )  # fmt: skip
    assert {("images", 0, 20), ("images", 20, 20)} <= set(told)
    assert {what for what, _, _ in told} > {"images"}
    assert [one.model_dump(mode="json") for one in found] == body["results"]
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["subject"] == body["subject"]
    assert opened.model.training is False
    with pytest.raises(UsageError, match="only evaluation"):
        pixelflow.evaluate(opened, "backbone.depth=1")


def test_the_images_are_those_of_the_api(run, capsys):
    from pixelflow.generation.pictures import to_uint8
    from pixelflow.generation.run import Run

    assert call(run, "--images", 20, "--seed", 5, METRICS) == 0
    folder = run / "evaluations"
    files = sorted(folder.glob("*/images/*.png"))
    expected = to_uint8(Run.open(run).sample(labels=[i % 10 for i in range(20)], seed=5))
    assert len(files) == 20
    for file, image in zip(files, expected.numpy(), strict=True):
        assert np.abs(np.asarray(Image.open(file)).astype(int) - image[..., 0]).max() <= 1


def test_a_stopped_evaluation_goes_on(run, capsys):
    assert call(run, "--images", 20, METRICS) == 0
    first = recorded(capsys.readouterr().out)
    files = sorted((run / "evaluations").glob("*/images/*.png"))
    kept = {file: file.stat().st_mtime_ns for file in files[:11]}
    for file in files[11:]:
        file.unlink()
    assert call(run, "--images", 20, METRICS) == 0
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    again = recorded(capsys.readouterr().out)
    for one, other in zip(first["results"], again["results"], strict=True):
        assert one["values"] == pytest.approx(other["values"], rel=1e-3)


def test_an_evaluation_killed_while_it_began_goes_on(run, tmp_path, capsys):
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / ".recipe.json.1.part").touch()
    assert call(run, "--images", 4, "--out", tmp_path / "out", "evaluation.metrics=[frechet]") == 0


def test_a_folder_is_measured_against_a_folder(digits_folder, tmp_path, capsys):
    assert call(digits_folder, METRICS, "--reference", digits_folder, "--out", tmp_path / "out") == 0
    frechet, agreement = recorded(capsys.readouterr().out)["results"]
    assert frechet["values"]["distance"] == pytest.approx(0, abs=1e-9)
    assert agreement["values"]["agreement"] > 0.9
    assert (tmp_path / "out" / "evaluation.json").is_file()


def test_a_run_is_measured_against_a_folder(run, digits_folder, capsys):
    assert call(run, "--images", 20, "--reference", digits_folder, METRICS) == 0
    assert recorded(capsys.readouterr().out)["reference"]["measured"] == 200


def pixels(folder: Path, count: int = 60) -> np.ndarray:
    """Images of a folder as evaluators exchange them (n h w 3)."""
    files = sorted(folder.rglob("*.png"))[:count]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


def test_an_npz_is_measured_as_the_folder_is(digits_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "drawn.npz", pixels(digits_folder))
    np.savez_compressed(tmp_path / "real.npz", pixels(digits_folder, 200))
    (tmp_path / "some").mkdir()
    for index, image in enumerate(pixels(digits_folder)):
        Image.fromarray(image).save(tmp_path / "some" / f"{index:03}.png")
    assert call(tmp_path / "drawn.npz", FRECHET, "--reference", tmp_path / "real.npz") == 0
    by_npz = recorded(capsys.readouterr().out)["results"][0]
    assert len(list(tmp_path.glob("evaluations/drawn-*/evaluation.json"))) == 1
    assert call(tmp_path / "some", FRECHET, "--reference", digits_folder, "--out", tmp_path / "out") == 0
    assert recorded(capsys.readouterr().out)["results"][0]["values"] == pytest.approx(by_npz["values"], rel=1e-5)


def test_saved_statistics_give_the_distance_that_the_images_give(run, tmp_path, capsys):
    file = tmp_path / "digits.npz"
    assert call(run, "--images", 20, FRECHET, "--save-statistics", file) == 0
    whole = recorded(capsys.readouterr().out)["results"][0]["values"]
    assert call(run, "--images", 20, FRECHET, "--reference", file) == 0
    printed = capsys.readouterr().out
    assert "; 20 images against saved statistics)" in printed
    body = recorded(printed)
    assert body["results"][0]["values"] == {"distance": pytest.approx(whole["distance"], rel=1e-6)}
    assert body["results"][0]["recipe"]["reference_images"] is None
    assert body["reference"]["recipe"]["measured"] == 1797
    assert call(run, "--images", 20, METRICS, "--reference", file) == 65
    assert "no images, which this needs" in capsys.readouterr().err


def test_a_spec_names_the_real_images(digits_folder, tmp_path, tiny_file, capsys):
    assert call(digits_folder, FRECHET, "--reference", tiny_file, "--out", tmp_path / "out") == 0
    body = recorded(capsys.readouterr().out)
    assert body["reference"]["measured"] == 1797
    assert body["results"][0]["values"]["ratio"] > 1


def test_a_spec_may_name_the_real_images_itself(run, digits_folder, tmp_path, capsys):
    assert call(run, "--images", 20, FRECHET, f"evaluation.reference={digits_folder}") == 0
    assert recorded(capsys.readouterr().out)["reference"]["measured"] == 200
    assert call(digits_folder, FRECHET, f"evaluation.reference={digits_folder}", "--out", tmp_path / "out") == 0
    assert call(run, "--images", 20, FRECHET, f"evaluation.reference={tmp_path}/nowhere") == 66
    assert f"evaluation.reference {tmp_path}/nowhere: there is no such" in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["fid", "adm_fid", "pytorch_fid", "clip_score", "fd_dinov2"])
def test_missing_weights_are_known_before_an_image_is_drawn_or_read(
    run, digits_folder, metric, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PIXELFLOW_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert call(run, f"evaluation.metrics=[{metric}]") == 69
    assert "where there is a network, fetch" in capsys.readouterr().err
    assert not list(run.rglob("*.png"))
    out = tmp_path / "out"
    assert (
        call(digits_folder, "--reference", digits_folder, "--out", out, f"evaluation.metrics=[frechet, {metric}]") == 69
    )
    shown = capsys.readouterr()
    assert "where there is a network, fetch" in shown.err
    assert not shown.out, "the other metric was not begun"
    assert not out.exists()


def test_a_result_says_how_it_came_about(run, capsys):
    assert call(run, "--images", 20, "--seed", 3, "--weights", "raw", METRICS, "sampling.steps=2") == 0
    frechet, agreement = recorded(capsys.readouterr().out)["results"]
    recipe = frechet["recipe"]
    assert recipe["protocol"] == "frechet of pixelflow"
    assert recipe["extractors"] == [{"type": "pixels_pca", "components": 8, "side": 32, "weights_sha256": None}]
    assert (recipe["images"], recipe["reference_images"]) == (20, 1797)
    assert (recipe["sampler"], recipe["steps"], recipe["seed"]) == ({"type": "euler"}, 2, 3)
    assert (recipe["weights"], recipe["step"], recipe["guidance"]["scale"]) == ("raw", 7, 1.5)
    assert agreement["recipe"]["extractors"] == []


def test_intervals_stand_beside_figures_of_features(run, capsys):
    assert call(run, "--images", 20, METRICS, "evaluation.bootstrap=20") == 0
    printed = capsys.readouterr().out
    frechet, agreement = recorded(printed)["results"]
    for name, (low, high) in frechet["intervals"].items():
        assert low < frechet["values"][name] < high
    assert set(frechet["intervals"]) == set(frechet["values"])
    assert agreement["intervals"] == {}
    assert re.search(r"distance +\S+ \[\S+, \S+\]", printed)


def test_intervals_stay_within_the_bounds_of_the_metric(run, monkeypatch, capsys):
    assert call(run, "--images", 20, FRECHET, "evaluation.bootstrap=20") == 0
    (free,) = recorded(capsys.readouterr().out)["results"]
    low, high = free["intervals"]["distance"]
    monkeypatch.setattr("pixelflow.metrics.frechet.Frechet.bounds", (0.0, (low + high) / 2))
    assert call(run, "--images", 20, FRECHET, "evaluation.bootstrap=20") == 0
    (bounded,) = recorded(capsys.readouterr().out)["results"]
    assert bounded["intervals"]["distance"] == [low, (low + high) / 2]


def test_what_was_extracted_is_not_extracted_again(run, monkeypatch, capsys):
    from pixelflow.metrics.random_conv import RandomConv

    assert call(run, "--images", 20, FRECHET) == 0
    first = recorded(capsys.readouterr().out)["results"]

    def refuse(self, images):
        raise AssertionError("extracted again")

    monkeypatch.setattr(RandomConv, "features", refuse)
    assert call(run, "--images", 20, FRECHET) == 0
    assert recorded(capsys.readouterr().out)["results"] == first


@pytest.mark.slow
def test_a_killed_evaluation_goes_on(run, tmp_path):
    """Killed (SIGKILL) as soon as the first features are on disk, again and again until it is through."""
    command = [sys.executable, "-m", "pixelflow", "eval", str(run), "--images", "24", FRECHET]
    cache = tmp_path / "cache"
    environment = {**os.environ, "PIXELFLOW_CACHE": str(cache)}
    kills = 0
    for _ in range(20):
        before = set(cache.rglob("*.npz"))
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        while process.poll() is None and set(cache.rglob("*.npz")) == before:
            time.sleep(0.005)
        if process.poll() is None:
            process.kill()
            kills += 1
        if process.wait() == 0:
            break
    result = recorded(process.stdout.read())["results"][0]["values"]
    assert kills
    own = {**os.environ, "PIXELFLOW_CACHE": str(tmp_path / "other")}
    whole = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], env=own, capture_output=True, text=True, check=True
    )
    assert recorded(whole.stdout)["results"][0]["values"] == pytest.approx(result, rel=1e-9)


def test_other_sizes_are_told_and_what_is_done(digits_folder, tmp_path, capsys):
    (tmp_path / "some").mkdir()
    for index, image in enumerate(pixels(digits_folder, 8)):
        side = 16 if index % 4 else 20
        Image.fromarray(image).resize((16, side)).save(tmp_path / "some" / f"{index:03}.png")
    assert call(tmp_path / "some", FRECHET, "--reference", digits_folder, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr()
    inner, outer = [line for line in shown.err.splitlines() if line.startswith("note: ")]
    assert "has images of 16 x 16, 20 x 16 (height x width); all are resized and cut at the centre to 16 x 16" in inner
    assert "has images of 8 x 8 (height x width); all are resized" in outer
    assert len(recorded(shown.out)["notes"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{tmp}/nowhere"], 66, "no such run, folder or npz"),
        (["{tmp}/digits"], 2, "--reference"),
        (["{tmp}/digits", "--reference", "{tmp}/nowhere"], 66, "--reference {tmp}/nowhere: there is no such"),
        (["{tmp}/digits", "--reference", "{tmp}/nowhere.npz"], 66, "--reference {tmp}/nowhere.npz: there is no such"),
        (["{tmp}/digits", "--reference", "{tmp}/nowhere.yaml"], 66, "--reference {tmp}/nowhere.yaml: there is no such"),
        (["{tmp}/digits", "--reference", "{tmp}/digits/0/0.png"], 2, "--reference {tmp}/digits/0/0.png: is no folder"),
        (["{tmp}/digits", "--reference", "{tmp}/digits/images"], 65, "{tmp}/digits/images: holds no images"),
        (["{tmp}/digits/images", "--reference", "{tmp}/digits"], 65, "{tmp}/digits/images: holds no images"),
        (["{run}", "--reference", "{tmp}/nowhere"], 66, "--reference {tmp}/nowhere: there is no such"),
        (["{tmp}/digits", "--reference", "{tmp}/digits", "--images", "20"], 2, "is not a run; --images"),
        (["{tmp}/digits", "--reference", "{tmp}/digits", "evaluation.images=20"], 2, "leave out evaluation.images"),
        (["{tmp}/nowhere.npz", "--reference", "{tmp}/digits"], 66, "no such run, folder or npz"),
        (["{tmp}/digits", "--reference", "{tmp}/digits", "evaluation.metrics=[frechett]"], 78, "frechet"),
        (["{run}", "image.size=16"], 2, "only evaluation"),
        (["{run}", "--images", "20", "--guidance", "strong"], 78, "guidance"),
        (["{run}", "--images", "20", "--guidance", "nan"], 78, "sampling.guidance.scale: must be a finite number"),
        (["{run}", "--images", str(10**20)], 2, "less than or equal to 10000000"),
        (["{run}", "--seed", str(10**20)], 2, "--seed"),
        (["{run}", "--weights", "best"], 2, "unknown"),
        (["{run}", "--step", "8"], 66, "8"),
        (["{run}", "--out", "{tmp}/digits", "--images", "4"], 73, "is not empty"),
    ],
)
def test_mistakes_are_one_line_with_a_code(run, digits_folder, tmp_path, capsys, arguments, code, message):
    (tmp_path / "digits" / "images").mkdir()
    (tmp_path / "digits" / "images" / "other.txt").touch()
    assert call(*(text.format(tmp=tmp_path, run=run) for text in arguments)) == code
    error = capsys.readouterr().err
    assert message.format(tmp=tmp_path) in error
    assert "data.root" not in error
    assert len(error.splitlines()) == 1


def test_images_of_another_recipe_are_not_mixed(run, tmp_path, capsys):
    assert call(run, "--images", 4, "--out", tmp_path / "out", "evaluation.metrics=[frechet]") == 0
    assert call(run, "--images", 4, "--seed", 9, "--out", tmp_path / "out", "evaluation.metrics=[frechet]") == 73
    assert "another recipe" in capsys.readouterr().err


def test_a_reference_is_matched_by_the_names_of_its_classes(digits_folder, tmp_path, capsys):
    """Sorted elsewhere, without one, and with other names."""
    other = tmp_path / "other"
    shutil.copytree(digits_folder, other)
    (other / "3").rename(other / "three")
    (digits_folder / "3").rename(digits_folder / "three")
    metrics = "evaluation.metrics=[label_agreement]"
    assert call(other, "--reference", digits_folder, "--out", tmp_path / "same", metrics) == 0
    same = recorded(capsys.readouterr().out)
    assert same["results"][0]["values"]["agreement"] > 0.9
    assert same["notes"] == []
    shutil.rmtree(digits_folder / "0")
    assert call(other, "--reference", digits_folder, "--out", tmp_path / "less", metrics) == 0
    less = recorded(capsys.readouterr().out)
    assert less["results"][0]["values"]["agreement"] > 0.9
    assert less["notes"] == ["classes in the generated images and not in the real ones: 0"]
    (digits_folder / "1").rename(digits_folder / "one")
    assert call(other, "--reference", digits_folder, "--out", tmp_path / "wrong", metrics) == 65
    assert "0, 1 in the generated images alone, one in the real images alone" in capsys.readouterr().err
    assert call(other, "--reference", digits_folder, "--out", tmp_path / "fine", FRECHET) == 0


def test_an_npz_of_a_run_knows_its_classes(tmp_path, capsys):
    """They are listed backwards there; an npz without names goes by number, and says so."""
    real = load_digits()
    pixels = np.repeat((real.images[:400, :, :, None] / 16 * 255).astype(np.uint8), 3, -1)
    np.savez(tmp_path / "named.npz", pixels, 9 - real.target[:400], classes=np.array(list("9876543210")))
    np.savez(tmp_path / "nameless.npz", pixels, real.target[:400])
    (tmp_path / "named.yaml").write_text("name: a\nimage: {size: 8}\ndata: digits\ncascade: {stages: 1}\n")
    for name in ("named", "nameless"):
        arguments = (tmp_path / f"{name}.npz", "--reference", tmp_path / "named.yaml", "--out", tmp_path / name)
        assert call(*arguments, "evaluation.metrics=[label_agreement]") == 0
        body = recorded(capsys.readouterr().out)
        assert body["results"][0]["values"]["agreement"] > 0.9
        assert bool(body["notes"]) == (name == "named")  # digits are called as they are numbered


def test_a_metric_that_needs_labels_says_so(run, tmp_path, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "1.png")
    assert call(run, "--images", 4, "--reference", tmp_path, "evaluation.metrics=[label_agreement]") == 65
    assert capsys.readouterr().err.endswith(
        "\npixelflow: label_agreement needs labels, and the real images have none; remove this metric\n"
    )


def test_a_metric_that_fails_does_not_lose_the_figures_of_the_others(run, tmp_path, capsys):
    for side in range(4):
        Image.new("L", (8, 8), 60 * side).save(tmp_path / f"{side}.png")
    metrics = "evaluation.metrics=[label_agreement, frechet, {type: frechet, extractor: {type: pixels_pca}}]"
    assert call(run, "--images", 8, "--reference", tmp_path, metrics) == 65
    shown = capsys.readouterr()
    failures = [line for line in shown.err.splitlines() if line.startswith("pixelflow: ")]
    assert [line.partition(":")[2].split()[0] for line in failures] == ["label_agreement", "frechet,"]
    assert "32 principal components need more images than 4" in failures[1]
    assert "distance" in shown.out
    first, second, third = recorded(shown.out)["results"]
    assert second["values"]["distance"] > 0
    assert (first["values"], third["values"]) == ({}, {})
    assert "needs labels" in first["error"]
    assert "principal components" in third["error"]


def test_an_error_that_nobody_foresaw_does_not_lose_the_others_either(run, monkeypatch, capsys):
    from pixelflow.metrics.label_agreement import LabelAgreement

    def broken(self, images):
        raise ZeroDivisionError("by nothing")

    with monkeypatch.context() as patch:
        patch.setattr(LabelAgreement, "compute", broken)
        assert call(run, "--images", 20, METRICS) == 1
    shown = capsys.readouterr()
    assert "this is a bug: ZeroDivisionError: by nothing" in shown.err
    good, bad = recorded(shown.out)["results"]
    assert good["values"]["ratio"] > 1
    assert bad["error"] == "label_agreement: ZeroDivisionError: by nothing"
    assert call(run, "--images", 20, METRICS) == 0
    whole = recorded(capsys.readouterr().out)["results"]
    assert whole[0] == good
    assert whole[1]["values"]["accuracy_on_real"] > 0.97


def records(folder: Path) -> dict[str, dict]:
    return {file.name: json.loads(file.read_text()) for file in folder.rglob("evaluation*.json")}


def test_evaluations_of_one_drawing_keep_their_places(run, digits_folder, capsys):
    several = [[FRECHET], [METRICS], [FRECHET, "--reference", digits_folder], [FRECHET, "evaluation.bootstrap=3"]]
    files = []
    for arguments in several:
        assert call(run, "--images", 20, *arguments) == 0
        files.append(re.search(r"written to (.*)", capsys.readouterr().out)[1])
    assert len(set(files)) == 4
    assert len(list((run / "evaluations").iterdir())) == 1, "they share the images"
    before = records(run)
    for arguments, file in zip(several, files, strict=True):
        assert call(run, "--images", 20, *arguments) == 0
        assert f"written to {file}\n" in capsys.readouterr().out
    assert records(run) == before


def test_no_record_of_another_evaluation_is_replaced_in_a_folder_that_is_named(digits_folder, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "evaluation.json").write_text("mine")
    for metrics in (FRECHET, METRICS, FRECHET):
        assert call(digits_folder, metrics, "--reference", digits_folder, "--out", out) == 0
    assert (out / "evaluation.json").read_text() == "mine"
    assert len(list(out.glob("evaluation-*.json"))) == 2


def test_a_result_survives_when_its_metric_fails_later(run, monkeypatch, capsys):
    from pixelflow.metrics.frechet import Frechet

    assert call(run, "--images", 20, METRICS) == 0
    before = recorded(capsys.readouterr().out)["results"]
    monkeypatch.setattr(Frechet, "compute", lambda self, images: 1 / 0)
    assert call(run, "--images", 20, METRICS) == 1
    assert recorded(capsys.readouterr().out)["results"] == before


def test_nothing_is_written_among_pictures(digits_folder, tmp_path, monkeypatch, capsys):
    before = sorted(digits_folder.rglob("*"))
    other = tmp_path / "other"
    (other / "deep").mkdir(parents=True)
    Image.new("L", (8, 8)).save(other / "1.png")
    Image.new("L", (8, 8), 9).save(other / "deep" / "2.png")
    for place, source, reference in (
        (tmp_path, digits_folder, digits_folder),
        (digits_folder, ".", digits_folder),
        (digits_folder / "0", "..", digits_folder),
        (other / "deep", digits_folder, other),
    ):
        monkeypatch.chdir(place)
        assert call(source, "evaluation.metrics=[{type: frechet}]", "--reference", reference) in (0, 65)
        assert re.search(r"written to (.*)", capsys.readouterr().out)[1]
    assert sorted(digits_folder.rglob("*")) == before
    assert len(list(other.rglob("*"))) == 3
    assert len(list((tmp_path / "evaluations").iterdir())) >= 2
