"""Which pictures of a folder are measured, in how many channels and at which size, and what is known of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelflow.cli.app import main
from pixelflow.data.digits import Digits
from pixelflow.evaluation.folders import Pictures
from pixelflow.evaluation.inputs import open_images, open_reference, reference_for
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import DataError
from pixelflow.system.parallel import Parallel
from pixelflow.training.previews import Previews
from tests.conftest import lively_model, make_run, make_spec


def picture(seed: int, mode: str = "RGB", side: int = 8) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def write(folder: Path, **modes: str) -> Path:
    """Pictures ``NAME.png`` in these modes."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, mode) in enumerate(modes.items()):
        picture(seed, mode).save(folder / f"{name}.png")
    return folder


def sample(run: Path, out: Path, *options: object) -> Path:
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(run), "--out", str(out), *map(str, options)])
    assert not stop.value.code
    return out


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "tiny", make_spec("image.size=8", "sampling.steps=1"))


def test_one_grey_picture_does_not_take_the_others_colour(tmp_path: Path):
    mixed = write(tmp_path / "mixed", a="L", b="RGB", c="LA")
    assert open_images(mixed).shape == (3, 8, 8)
    (batch,) = open_images(mixed).source(0)
    assert (batch.images[1] != batch.images[1, :1]).any(), "the picture in colour is read in colour"
    assert open_images(write(tmp_path / "grey", a="L", b="LA", c="1")).shape == (1, 8, 8)


@pytest.mark.parametrize("reference", ["folder", "npz", "spec"])
def test_grey_images_are_compared_in_colour_with_real_ones_in_colour(tmp_path: Path, reference: str):
    grey = write(tmp_path / "grey", a="L", b="L")
    real = write(tmp_path / "real", a="L", b="RGB")
    if reference == "npz":
        real = tmp_path / "real.npz"
        np.savez(real, np.zeros((2, 8, 8, 3), np.uint8))
    elif reference == "spec":
        real = tmp_path / "real.yaml"
        real.write_text(
            "name: real\nimage: {size: 8, channels: 3}\ndata: {type: image_folder, root: real}\n"
            "cascade: {stages: 1, patch: 2}\nbackbone: {type: dit, depth: 1, heads: 1, head_dim: 16}\n"
            "training: {steps: 1, batch_size: 1, learning_rate: 1e-3}\n"
        )
    assert open_images(grey).shape[0] == 1
    assert open_images(grey, real).shape == (3, 8, 8)


def test_the_size_is_the_most_frequent_one_and_not_the_first(tmp_path: Path):
    folder = write(tmp_path / "some", b="RGB", c="RGB")
    picture(0, side=24).save(folder / "a.png")
    assert open_images(folder).shape == (3, 8, 8)
    (folder / "torn.png").write_bytes(b"torn")
    assert open_images(folder).shape == (3, 8, 8)


def test_no_readable_picture_is_one_line(tmp_path: Path):
    (tmp_path / "torn.png").write_bytes(b"torn")
    with pytest.raises(DataError, match="none of its images can be read"):
        open_images(tmp_path)


def test_a_drawing_is_its_images_with_their_labels_and_nothing_else(run: Path, tmp_path: Path):
    drawn = sample(run, tmp_path / "drawn", "--labels", "3,7", "--count", 5)
    picture(9).save(drawn / "000005.png")
    write(drawn / "more", a="RGB")
    found = open_images(drawn)
    (batch,) = found.source(0)
    assert (len(batch.images), batch.labels) == (5, [3, 7, 3, 7, 3])
    assert found.shape == (1, 8, 8), "neither the sheets in colour nor foreign pictures count"
    assert batch.classes == tuple(f"class {index}" for index in range(10))
    assert found.source(0).told("images").startswith("images: 9 pictures")
    assert found.source(0).told("images").endswith("; 5 of them are measured")
    (note,) = found.notes
    assert "000005.png, grid.png, more/a.png and 1 more left out" in note


def test_images_that_a_record_tells_of_and_are_not_there_are_told(run: Path, tmp_path: Path):
    drawn = sample(run, tmp_path / "drawn", "--count", 4)
    (drawn / "000001.png").unlink()
    found = open_images(drawn)
    (batch,) = found.source(0)
    assert batch.labels == [0, 2, 3]
    assert any("1 of the 4 images of samples.json are not there" in note for note in found.notes)


def test_a_drawing_can_be_the_reference(run: Path, tmp_path: Path):
    drawn = sample(run, tmp_path / "drawn", "--labels", "3,7", "--count", 4)
    reference = open_reference(drawn, (1, 8, 8), 0)
    (batch,) = reference.source
    assert batch.labels == [3, 7, 3, 7]


def test_transparent_real_images_show_the_ground_that_the_run_was_trained_with(tmp_path: Path):
    (tmp_path / "real").mkdir()
    for name in "ab":
        Image.new("LA", (16, 16), (255, 0)).save(tmp_path / "real" / f"{name}.png")
    spec = make_spec(f"evaluation.reference={tmp_path / 'real'}", "data={type: image_folder, root: x, ground: black}")
    (batch,) = reference_for(spec, None).source
    assert torch.equal(batch.images, -torch.ones(2, 1, 16, 16))


def test_drawings_below_a_folder_count_without_their_sheets(run: Path, tmp_path: Path):
    for name in ("a", "b"):
        sample(run, tmp_path / "both" / name, "--count", 2)
    assert Pictures(tmp_path / "both").files == [f"{name}/{index:06d}.png" for name in "ab" for index in range(2)]


def test_what_training_draws_of_its_progress_is_not_measured(run: Path):
    spec = make_spec("image.size=8", "sampling.steps=1", "training.samples=2")
    data = Digits.Params().build(height=8, width=8, channels=1)
    assert Previews(RunFolder(run).samples, spec, data).draw(lively_model(spec), 4, Parallel(torch.device("cpu")))
    sample(run, run / "samples" / "drawn", "--count", 3)
    assert Pictures(run / "samples").files == [f"drawn/{index:06d}.png" for index in range(3)]
    elsewhere = write(run.parent / "mine", **{"step-00000004": "RGB", "grid": "RGB"})
    assert len(Pictures(elsewhere).files) == 2, "pictures of these names are nobody's sheets there"


def test_sheets_beside_numbered_images_are_left_out_without_a_record_too(run: Path, tmp_path: Path):
    drawn = sample(run, tmp_path / "drawn", "--count", 2)
    (drawn / "samples.json").unlink()
    assert Pictures(drawn).files == ["000000.png", "000001.png"]


@pytest.mark.parametrize("text", ["", "[]", '{"order": 3}', '{"order": {"seeds": [1]}, "environment": {}}'])
def test_a_foreign_file_of_the_records_name_says_nothing(tmp_path: Path, text: str):
    folder = write(tmp_path / "some", a="RGB", b="RGB")
    (folder / "samples.json").write_text(text)
    assert Pictures(folder).files == ["a.png", "b.png"]


def test_a_damaged_record_is_not_believed(run: Path, tmp_path: Path, caplog):
    drawn = sample(run, tmp_path / "drawn", "--labels", "3,7", "--count", 4)
    record = drawn / "samples.json"
    whole = record.read_text()
    record.write_text(whole.replace("   3,", "   2,", 1))
    with pytest.raises(DataError, match=r"samples\.json: is damaged or was changed"):
        _ = Pictures(drawn).labels
    record.write_text(whole[:-3])
    assert Pictures(drawn).labels is None
    assert any("samples.json: is no record of samples" in message for message in caplog.messages)


def measured(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["eval", *map(str, arguments)])
    return int(stop.value.code or 0)


def test_names_that_are_no_utf8_are_measured_recorded_and_shown(tmp_path: Path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    for kind in ("caf\udce9", "tea"):
        write(tmp_path / kind, **{f"{index}": "RGB" for index in range(6)})
    (tmp_path / "caf\udce9" / "0.png").rename(tmp_path / "caf\udce9" / "\udcff.png")
    (tmp_path / "caf\udce9" / "torn\udcfe.png").write_bytes(b"torn")
    (tmp_path / "all").mkdir()
    for kind in ("caf\udce9", "tea"):
        (tmp_path / kind).rename(tmp_path / "all" / kind)
    arguments = ["evaluation.metrics=[frechet]", "evaluation.bad_images=1"]
    assert measured("all", "--reference", tmp_path / "all" / "caf\udce9", *arguments) == 0
    assert measured(tmp_path / "all" / "caf\udce9", "--reference", "all", *arguments) == 0
    assert all("torn\\xfe.png" in message for message in caplog.messages)
    assert "written to evaluations/caf\\xe9-" in capsys.readouterr().out
    (record,) = tmp_path.glob("evaluations/all-*/evaluation.json")
    body = json.loads(record.read_text("utf-8"))
    assert body["reference"]["folder"].endswith("caf\\xe9")
    assert body["subject"]["unreadable"] == {"all/caf\\xe9/torn\\xfe.png": "not an image of a known format"}
    assert body["subject"]["measured"] == 12


def test_names_with_accents_are_one_class_however_they_are_spelt(tmp_path: Path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    one, other = (
        open_images(write(tmp_path / f"{place}" / name, a="RGB").parent)
        for place, name in enumerate((composed, decomposed))
    )
    write(tmp_path / "0" / "tea", a="RGB")
    write(tmp_path / "1" / "tea", a="RGB")
    one, other = open_images(tmp_path / "0"), open_images(tmp_path / "1")
    assert one.source(0).classes == other.source(0).classes == (composed, "tea")
