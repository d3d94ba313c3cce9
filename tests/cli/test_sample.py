"""``pixelflow sample``, on real run folders."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pixelflow
from pixelflow.cli.app import main
from pixelflow.generation.gallery import Gallery, Subject, _put_into_place
from pixelflow.generation.ordering import Wish, ordered
from pixelflow.generation.pictures import to_pil
from pixelflow.runs import checkpoint
from pixelflow.runs.environment import environment
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.records import FORMAT, HASH, FileKind
from tests import processes
from tests.conftest import make_run, make_spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec())


def sample(*arguments: object) -> int:
    """Run the command; its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["sample", *map(str, arguments)])
    return int(caught.value.code or 0)


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def subject(run: Path, count: int) -> Subject:
    """What `sample run --count COUNT` draws."""
    opened = pixelflow.load(run)
    order = ordered(opened, Wish(count=count), opened.spec.sampling)
    told = environment(opened.classes, opened.spec, order.sampling, order.rewriting)
    return Subject(order, told, order.titles(opened.classes), opened.spec.image.channels)


def test_writes_pictures_grid_filmstrip_and_record(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "out"
    assert sample(run, "--labels", "3,class 7", "--count", 5, "--seed", 9, "--out", out) == 0
    assert str(out) in capsys.readouterr().out
    assert list(pictures(out)) == [f"{index:06d}.png" for index in range(5)] + ["grid.png", "stages.png"]
    expected = pixelflow.load(run).sample(labels=[3, 7, 3, 7, 3], seed=9)
    for index, picture in enumerate(to_pil(expected)):
        with Image.open(out / f"{index:06d}.png") as written:
            assert written.mode == "L"
            assert np.array_equal(written, picture)
    order = json.loads((out / "samples.json").read_text())["order"]
    assert order["labels"] == [3, 7, 3, 7, 3]
    assert order["seeds"] == [9, 10, 11, 12, 13]
    assert order["sampling"]["guidance"] == {"type": "constant", "scale": 1.5}


def test_the_record_tells_weights_cost_and_versions(run: Path, tmp_path: Path):
    assert sample(run, "--labels", "0", "--steps", "2,4", "--weights", "raw", "--out", tmp_path) == 0
    record = json.loads((tmp_path / "samples.json").read_text())
    found = checkpoint.load(RunFolder(run).checkpoints, parts=["model"])
    assert record["order"]["source"] == {
        "run": str(run),
        "step": 7,
        "weights": "raw",
        "sha256": found.sha256["model.safetensors"],
    }
    assert record["nfe"] == [4, 8]
    assert record["seconds"] > 0
    assert record["environment"]["packages"]["torch"] == metadata.version("torch")


def test_a_record_repeats_to_the_bit(run: Path, tmp_path: Path):
    first, again = tmp_path / "first", tmp_path / "again"
    options = (
        "--labels",
        "1,2",
        "--count",
        7,
        "--seed",
        4,
        "--sampler",
        "heun",
        "--guidance",
        2.5,
        "--grid",
        "official",
    )
    assert sample(run, "batch_size=3", *options, "--out", first) == 0
    assert sample(run, "--repeat", first / "samples.json", "--out", again) == 0
    assert pictures(first) == pictures(again)
    orders = [json.loads((folder / "samples.json").read_text())["order"] for folder in (first, again)]
    assert orders[0] == orders[1]


def test_a_record_of_other_weights_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert sample(run, "--out", tmp_path / "out", "--count", 1) == 0
    other = make_run(tmp_path / "other", make_spec(), seed=5)
    assert sample(other, "--repeat", tmp_path / "out" / "samples.json") == 65
    assert "are not the recorded ones" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [[3, 10], [-1, 0]])
def test_a_record_of_no_class_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, labels: list[int]):
    """Older versions drew "no class" for the number behind the last one's."""
    assert sample(run, "--count", 2, "--out", tmp_path / "first") == 0
    record = json.loads((tmp_path / "first" / "samples.json").read_text())
    record["order"]["labels"] = labels
    del record["format"], record["content_sha256"]  # as older versions wrote it
    (tmp_path / "none.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert sample(run, "--repeat", tmp_path / "none.json", "--out", tmp_path / "again") == 2
    assert "in the record is outside 0..9" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_options_change_what_the_spec_says(run: Path, tmp_path: Path):
    options = ("--steps", 5, "--sampler", "heun", "--guidance", "stagewise", "--grid", "official")
    assert (
        sample(run, "sampling.guidance.scale=3", "precision=bfloat16", *options, "--count", 2, "--out", tmp_path) == 0
    )
    sampling = json.loads((tmp_path / "samples.json").read_text())["order"]["sampling"]
    assert sampling["steps"] == 5
    assert sampling["sampler"]["type"] == "heun"
    assert (sampling["guidance"]["type"], sampling["guidance"]["scale"]) == ("stagewise", 3)
    assert sampling["grid"]["type"] == "official"
    assert sampling["precision"] == "bfloat16"


def test_guidance_takes_a_weight_a_stage(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert sample(run, "--guidance", "1,2.5", "--steps", 2, "--count", 1, "--out", tmp_path) == 0
    assert "6 NFE each (2 + 4 by stage)" in capsys.readouterr().out
    guidance = json.loads((tmp_path / "samples.json").read_text())["order"]["sampling"]["guidance"]
    assert guidance == {"type": "stagewise", "scale": 2, "shares": [0, 1.5]}


def test_autoguidance_records_its_weaker_run(run: Path, tmp_path: Path):
    weak = make_run(tmp_path / "weak", make_spec("backbone.depth=1"), seed=8)
    options = ("--weak", weak, "--guidance", "autoguidance", "--count", 2)
    assert sample(run, *options, "--out", tmp_path / "a") == 0
    assert sample(run, "--repeat", tmp_path / "a" / "samples.json", "--out", tmp_path / "b") == 0
    assert sample(run, "--guidance", "none", "--count", 2, "--out", tmp_path / "c") == 0
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b") != pictures(tmp_path / "c")


def test_a_weaker_run_that_guidance_ignores_is_refused(run: Path, capsys):
    assert sample(run, "--weak", run, "--guidance", "constant") == 2
    said = (
        "guidance 'constant' of scale 1.5 makes no use of a weaker run; 'autoguidance' with a scale other than 1 does"
    )
    assert said in capsys.readouterr().err


def test_by_default_every_class_in_turn_into_the_runs_own_folder(tmp_path: Path):
    run = make_run(tmp_path / "run", make_spec())
    assert sample(run) == 0
    assert json.loads((run / "samples/drawn/samples.json").read_text())["order"]["labels"] == list(range(10))


def test_each_drawing_of_a_run_has_a_folder_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture):
    run = make_run(tmp_path / "run", make_spec())
    for seed in (0, 5, 9):
        assert sample(run, "--count", 2, "--seed", seed) == 0
    folders = [run / "samples" / name for name in ("drawn", "drawn-2", "drawn-3")]
    drawn = {folder: pictures(folder) for folder in folders}
    assert len({content["000000.png"] for content in drawn.values()}) == 3
    capsys.readouterr()
    assert sample(run, "--count", 2, "--seed", 5) == 0
    assert capsys.readouterr().out == f"these images were drawn before, and are in {folders[1]}\n"
    assert sample(run, "--repeat", folders[1] / "samples.json") == 0, "to be compared with the first"
    assert pictures(run / "samples" / "drawn-4") == drawn[folders[1]]
    assert {folder: pictures(folder) for folder in folders} == drawn
    (folders[0] / "000001.png").unlink()
    assert sample(run, "--count", 2) == 0, "what is not whole does not count"
    assert list(pictures(run / "samples" / "drawn-5")) == list(drawn[folders[0]])
    content = bytearray((folders[2] / "000000.png").read_bytes())
    content[50] ^= 1
    (folders[2] / "000000.png").write_bytes(content)
    assert sample(run, "--count", 2, "--seed", 9) == 0, "nor does what is damaged"
    assert pictures(run / "samples" / "drawn-6") == drawn[folders[2]]


@pytest.mark.parametrize("name", ["000000.png", "000009.png", "notes.txt", "samples.json"])
def test_nothing_is_drawn_among_other_files(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str):
    (tmp_path / name).write_text("mine")
    assert sample(run, "--count", 2, "--out", tmp_path) == 73
    assert "is not empty, and nothing is replaced; choose another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_another_drawing_is_not_replaced_and_the_same_one_is_not_drawn_again(run: Path, tmp_path: Path):
    assert sample(run, "--count", 2, "--out", tmp_path) == 0
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert sample(run, "--count", 3, "--out", tmp_path) == 73
    assert sample(run, "--count", 2, "--out", tmp_path) == 0
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == before


def test_a_second_process_says_that_the_first_is_at_work(run: Path, tmp_path: Path):
    command = ["-m", "pixelflow", "sample", str(run), "--count", "4", "--out", str(tmp_path / "out")]
    with Gallery(tmp_path / "out", subject(run, 4)):
        second = processes.run(*command)
        assert second.returncode == 2
        assert second.stderr == (
            f"pixelflow: {tmp_path}/out: another process draws into this folder; wait for it, or choose another --out\n"
        )
        assert list((tmp_path / "out" / ".unfinished").iterdir()), "the first one's"
    assert sample(run, "--count", 4, "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("moves", [0, 2, 5])
@pytest.mark.parametrize("seed", [0, 7])
def test_what_a_kill_left_while_it_was_put_into_place_is_made_whole(
    run: Path, tmp_path: Path, monkeypatch, capsys, moves, seed
):
    """Killed between two moves: no exception handler runs, so the hidden folder stays."""
    assert sample(run, "--count", 3, "--out", tmp_path / "whole") == 0
    moved, replace = [], Path.replace

    def killed(self: Path, target: Path) -> Path:
        if len(moved) == moves:
            os._exit(9)
        moved.append(self)
        return replace(self, target)

    child = os.fork()
    if not child:
        monkeypatch.setattr(Path, "replace", killed)
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 1)
        try:
            record = tmp_path / "whole" / "samples.json"
            gallery = Gallery(tmp_path / "out", subject(run, 3))
            with gallery:
                for path in sorted((tmp_path / "whole").iterdir()):
                    (gallery._draft / path.name).write_bytes(path.read_bytes())
                assert record.is_file()
                _put_into_place(tmp_path / "out")
        finally:
            os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(pictures(tmp_path / "out")) == moves
    capsys.readouterr()
    code = sample(run, "--count", 3, "--seed", seed, "--out", tmp_path / "out")
    if seed:
        assert code == 73, "it holds the drawing of another seed"
    else:
        assert code == 0
        assert "these images were drawn before" in capsys.readouterr().out
    assert pictures(tmp_path / "out") == pictures(tmp_path / "whole")
    assert (tmp_path / "out" / "samples.json").is_file()
    assert not (tmp_path / "out" / ".unfinished").exists()


def test_what_a_kill_left_in_a_folder_of_the_runs_own_is_made_whole_there(run: Path, capsys: pytest.CaptureFixture):
    assert sample(run, "--count", 2, "--seed", 5) == 0
    folder = Path(capsys.readouterr().out.split(": ")[-1].strip())
    before = pictures(folder)
    (folder / ".unfinished").mkdir()
    for name in ("000001.png", "samples.json"):
        (folder / name).rename(folder / ".unfinished" / name)
    assert sample(run, "--count", 2, "--seed", 5) == 0
    assert f"these images were drawn before, and are in {folder}" in capsys.readouterr().out
    assert pictures(folder) == before


def test_an_unconditional_run_of_wide_colour_images(tmp_path: Path):
    run = make_run(tmp_path / "run", make_spec("conditioners=[]", "image.size=[16,32]", "image.channels=3"))
    assert sample(run, "--guidance", "none", "--count", 3) == 0
    with Image.open(run / "samples/drawn/000002.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (32, 16))
    assert sample(run, "--labels", "1") == 2


def test_a_text_run_draws_and_repeats_captions(tmp_path: Path, capsys: pytest.CaptureFixture):
    run = make_run(tmp_path / "run", make_spec("conditioners=[{type: bytes, dim: 16}]"))
    assert sample(run, "--prompt", "a cat, asleep", "--prompt", "dog", "--out", tmp_path / "a") == 0
    assert sample(run, "--repeat", tmp_path / "a" / "samples.json", "--out", tmp_path / "b") == 0
    order = json.loads((tmp_path / "b" / "samples.json").read_text())["order"]
    assert order["captions"] == ["a cat, asleep", "dog"]
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b")
    assert sample(run) == 2
    assert "give --prompt" in capsys.readouterr().err


def test_diverged_weights_are_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture):
    run = make_run(tmp_path / "run", make_spec())
    weights = checkpoint.load(RunFolder(run).checkpoints).tensors["ema"]
    weights["backbone.patch_in.2.bias"] += 1e38
    checkpoint.save(RunFolder(run).checkpoints, 8, {"ema": weights}, {}, keep=2)
    assert sample(run) == 76
    assert "image 0 is not finite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--labels", "11"], 2, "label 11 is outside 0..9"),
        (["--labels", "10"], 2, "label 10 is outside 0..9"),
        (["--labels", str(10**30)], 2, "is outside 0..9"),
        (["--count", str(10**20)], 2, "less than or equal to 10000000"),
        (["--sampler", "{type: dopri5, rtol: -1}"], 78, "sampling.sampler.rtol: must be greater than 0"),
        (["--sampler", "{type: dopri5"], 78, "--sampler:1:14 is not valid YAML"),
        (["--guidance", "nan"], 78, "sampling.guidance.scale: must be a finite number"),
        (["--device", "meta"], 2, "device 'meta' is not to be had here"),
        (["--labels", "clas 1"], 2, "did you mean 'class 1'"),
        (["--prompt", "a cat"], 2, "not conditioned on captions"),
        (["--weights", "best"], 2, "one of: ema, raw"),
        (["--device", "abacus"], 2, "abacus"),
        (["--step", "9"], 66, "there are: 7"),
        (["--step", "best"], 66, "no step was evaluated while training"),
        (["--step", "last"], 2, "'last' is neither a number nor best"),
        (["--weak", "nowhere"], 66, "nowhere"),
        (["--repeat", "nowhere.json"], 66, "nowhere.json"),
        (["--out", __file__], 73, "is there already, and nothing is replaced; choose another --out"),
        (["--steps", "0"], 78, "at least 1"),
        (["--steps", "1,2,3"], 78, "has 3 entries for 2 stages"),
        (["--sampler", "eular"], 78, "did you mean 'euler'"),
        (["--steps", "-1"], 78, "at least 1, not -1"),
        (["--steps", "1000000000"], 78, "at most 100000"),
        (["--guidance", "-1"], 78, "scale"),
        (["--guidance", "1,1.5,2"], 78, "has 3 entries for 2 stages"),
        (["--grid", "even"], 78, "no grid is called 'even'"),
        (["stesp=3"], 78, "did you mean 'steps'"),
        (["image.size=32"], 2, "image.size=32: here only sampling.* can be changed"),
    ],
)
def test_bad_input_is_one_line(run: Path, capsys: pytest.CaptureFixture, arguments: list[str], code: int, message: str):
    assert sample(run, *arguments) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.startswith("pixelflow: ")
    assert errors.count("\n") == 1


def test_bad_input_leaves_nothing_behind(run: Path, tmp_path: Path):
    assert sample(run, "--labels", "11", "--out", tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def stopped(signal_: signal.Signals, out: Path, *arguments: object, batches: int) -> str:
    """The command in a process of its own, which gets a signal after so many more batches; what it said."""
    progress, said = out / ".unfinished" / "progress.json", out.with_suffix(".said")
    before = progress.read_text() if progress.exists() else ""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)
        os._exit(sample(*arguments, "--out", out))
    for _ in range(batches):
        while (now := progress.read_text() if progress.exists() else "") == before:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), said.read_text()
            time.sleep(0.001)
        before = now
    os.kill(child, signal_)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (130 if signal_ is signal.SIGINT else -signal_)
    return said.read_text()


def as_formerly(progress: Path) -> None:
    """Write it as versions did that called the NFE evaluations."""
    former = FileKind("the progress of a drawing", "")
    body = {key: value for key, value in json.loads(progress.read_text()).items() if key not in (FORMAT, HASH)}
    former.write(progress, {"evaluations" if key == "nfe" else key: value for key, value in body.items()})


def test_what_was_stopped_goes_on_to_the_same_bytes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Stopped drawings do not look like a set, and cost only the batch that was being drawn."""
    out, arguments = tmp_path / "out", (run, "--count", 120, "--seed", 5, "batch_size=7")
    assert sample(*arguments, "--out", tmp_path / "whole") == 0
    kept: dict[Path, int] = {}
    for signal_ in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        said = stopped(signal_, out, *arguments, batches=2)
        done = json.loads((out / ".unfinished" / "progress.json").read_text())["images"]
        assert [path.name for path in out.iterdir()] == [".unfinished"]
        assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing is drawn twice"
        assert done >= len(kept) + 2 * 7
        kept = {path: path.stat().st_mtime_ns for path in sorted((out / ".unfinished").glob("0*.png"))[:done]}
        if signal_ is signal.SIGINT:
            as_formerly(out / ".unfinished" / "progress.json")
            assert said == f"{done} of 120 images are drawn and kept; the same command goes on\n"
    capsys.readouterr()
    assert sample(*arguments, "--out", out) == 0
    assert capsys.readouterr().out.startswith(f"{done} of 120 images were drawn before\n120 images in ")
    assert pictures(out) == pictures(tmp_path / "whole"), "the grid and the filmstrip too"
    assert {out / path.name: (out / path.name).stat().st_mtime_ns for path in kept} == {
        out / path.name: when for path, when in kept.items()
    }
    records = [json.loads((folder / "samples.json").read_text()) for folder in (out, tmp_path / "whole")]
    assert records[0]["nfe"] == pytest.approx(records[1]["nfe"])
    assert not (out / ".unfinished").exists()


def test_another_drawing_leaves_a_stopped_one_alone(tmp_path: Path, capsys: pytest.CaptureFixture):
    run = make_run(tmp_path / "run", make_spec())
    folder, arguments = run / "samples" / "drawn", (run, "--count", 40, "batch_size=4")
    stopped(signal.SIGKILL, folder, *arguments, batches=1)
    left = pictures(folder / ".unfinished")
    assert sample(run, "--count", 2, "--out", folder) == 73
    assert "images of another drawing, which was stopped and goes on by its own command" in capsys.readouterr().err
    assert sample(run, "--count", 2) == 0
    assert len(pictures(run / "samples" / "drawn-2")) == 4
    assert pictures(folder / ".unfinished") == left
    assert sample(*arguments) == 0
    assert len(pictures(folder)) == 42


@pytest.mark.parametrize("damage", ["progress", "picture", "a bit of a picture", "nothing to go on with"])
def test_what_cannot_be_gone_on_with_is_drawn_anew(run: Path, tmp_path: Path, damage: str):
    out, arguments = tmp_path / "out", (run, "--count", 40, "batch_size=4")
    if damage == "nothing to go on with":
        (out / ".unfinished").mkdir(parents=True)
        (out / ".unfinished" / "000007.png").write_text("of one that was killed")
    else:
        stopped(signal.SIGKILL, out, *arguments, batches=1)
        file = out / ".unfinished" / ("progress.json" if damage == "progress" else "000001.png")
        content = bytearray(file.read_bytes())
        content[60] ^= 1
        file.write_bytes(content if damage.startswith("a bit") else b"")
    assert sample(*arguments, "--out", out) == 0
    assert sample(*arguments, "--out", tmp_path / "whole") == 0
    assert len(pictures(out)) == 42
    assert pictures(out) == pictures(tmp_path / "whole")
    assert np.array(Image.open(out / "000001.png")).shape == (16, 16)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": 1}', "[" * 100_000])
def test_what_is_no_record_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, text: str):
    path = tmp_path / "samples.json"
    path.write_text(text)
    assert sample(run, "--repeat", path) == 65
    assert "give the samples.json of earlier samples" in capsys.readouterr().err


def test_a_record_that_was_spoilt_names_the_place(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert sample(run, "--count", 1, "--out", tmp_path) == 0
    path = tmp_path / "samples.json"
    record = json.loads(path.read_text())
    record["order"]["sampling"]["steps"] = [1, 2, 3]
    path.write_text(json.dumps(record))
    assert sample(run, "--repeat", path) == 65
    assert "samples.json: is damaged or was changed" in capsys.readouterr().err
    former = {key: value for key, value in record.items() if key not in ("format", "content_sha256")}
    path.write_text(json.dumps(former))
    assert sample(run, "--repeat", path) == 78
    assert "sampling.steps: has 3 entries for 2 stages" in capsys.readouterr().err


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = make_spec("conditioners=[class_label, {type: bytes, dim: 16}]", "conditioners.0.classes=10")
    return make_run(tmp_path_factory.mktemp("runs") / "text", spec)


def test_prompts_from_a_file_and_negative_prompts(text_run: Path, tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("\ufeffa dog\n\n  zwölf Würfel \r\n", encoding="utf-8")
    options = ("--labels", "1", "--prompt", "a cat", "--prompts", tmp_path / "prompts.txt", "--guidance", 3)
    assert sample(text_run, *options, "--negative", "blurry", "--out", tmp_path / "a") == 0
    assert sample(text_run, *options, "--out", tmp_path / "b") == 0
    order = json.loads((tmp_path / "a" / "samples.json").read_text())["order"]
    assert order["captions"] == ["a cat", "a dog", "zwölf Würfel"]
    assert order["negatives"] == ["blurry"] * 3
    assert sample(text_run, "--repeat", tmp_path / "a" / "samples.json", "--out", tmp_path / "c") == 0
    assert pictures(tmp_path / "a") == pictures(tmp_path / "c")
    assert pictures(tmp_path / "a")["000000.png"] != pictures(tmp_path / "b")["000000.png"]
    expected = pixelflow.load(text_run).sample(
        labels=1, prompts=["a cat", "a dog", "zwölf Würfel"], negatives="blurry", guidance=3
    )
    for index, picture in enumerate(to_pil(expected)):
        with Image.open(tmp_path / "a" / f"{index:06d}.png") as written:
            assert np.array_equal(written, picture)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b" \n\n", 65, "holds no prompt; write one a line"),
        (b"caf\xe9", 65, "is not UTF-8 text (byte 3)"),
        (None, 66, "cannot be read (No such file or directory)"),
    ],
)
def test_prompt_files_that_cannot_be_used(
    text_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, content: bytes | None, code: int, message: str
):
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    assert sample(text_run, "--prompts", tmp_path / "prompts.txt") == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_negative_prompts_need_guidance_and_a_run_of_captions(run: Path, text_run: Path, capsys: pytest.CaptureFixture):
    assert sample(text_run, "--prompt", "a", "--negative", "b", "--guidance", "none") == 2
    assert "does nothing without guidance" in capsys.readouterr().err
    for useless in ("1", "autoguidance"):
        assert sample(text_run, "--prompt", "a", "--negative", "b", "--guidance", useless) == 2
        assert "does nothing without guidance" in capsys.readouterr().err
    assert sample(run, "--negative", "b") == 2
    assert "not conditioned on captions" in capsys.readouterr().err


def test_the_grid_is_labelled_with_whole_captions(text_run: Path, tmp_path: Path):
    for name, caption in (("short", "a dog"), ("long", "a picture of a small dog that runs through the deep snow")):
        assert sample(text_run, "--prompt", caption, "--count", 1, "--out", tmp_path / name) == 0
    with Image.open(tmp_path / "short" / "grid.png") as short, Image.open(tmp_path / "long" / "grid.png") as long:
        assert short.width == long.width == 128 + 12
        assert long.height > short.height


def test_prompts_are_rewritten_and_both_are_recorded(run: Path, text_run: Path, tmp_path: Path, capsys):
    file = tmp_path / "rewritten.jsonl"
    file.write_text('{"prompt": "a cat", "rewritten": "a small grey cat on a mat"}\n')
    options = ("--prompt", "a cat", "--count", 2, "--rewriter", f"{{type: mapping, file: '{file}'}}")
    assert sample(text_run, *options, "--out", tmp_path / "a") == 0
    order = json.loads((tmp_path / "a" / "samples.json").read_text())["order"]
    assert order["captions"] == ["a small grey cat on a mat"] * 2
    assert order["rewriting"]["prompts"] == ["a cat"] * 2
    assert order["rewriting"]["rewriter"]["file"] == str(file)
    file.unlink()
    assert sample(text_run, "--repeat", tmp_path / "a" / "samples.json", "--out", tmp_path / "b") == 0
    assert pictures(tmp_path / "a") == pictures(tmp_path / "b")
    assert sample(run, "--rewriter", "instruct") == 2
    assert "not conditioned on captions" in capsys.readouterr().err


def test_draws_in_the_size_that_is_asked_for_and_again(run: Path, tmp_path: Path):
    """WIDTHxHEIGHT, as picture sizes are written."""
    assert sample(run, "--labels", "0", "--size", "24x12", "--out", tmp_path / "wide") == 0
    with Image.open(tmp_path / "wide" / "000000.png") as written:
        assert written.size == (24, 12)
        assert np.array_equal(written, to_pil(pixelflow.load(run).sample(labels=[0], size=(12, 24)))[0])
    assert sample(run, "--repeat", tmp_path / "wide" / "samples.json", "--out", tmp_path / "again") == 0
    assert pictures(tmp_path / "again") == pictures(tmp_path / "wide")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("26x14", "images of 26x14 (width x height) cannot be cut into patches at all 2 stages: sides must be "
                  "multiples of 4; the nearest is 24x16"),
        ("1", "the nearest is 4x4"),
        ("large", "the size 'large' must be WIDTHxHEIGHT in pixels, such as 384x256"),
        ("-4x8", "must be WIDTHxHEIGHT"),
    ],
)  # fmt: skip
def test_a_size_that_cannot_be_names_the_nearest(run: Path, capsys: pytest.CaptureFixture, size: str, message: str):
    assert sample(run, f"--size={size}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
