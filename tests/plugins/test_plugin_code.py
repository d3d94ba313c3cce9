"""A plugin's version and source belong to what is kept under a name; where one is gone, all else of a run works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from distributions import Site
from every_kind import SLOTS, add_every_kind, choices

from pixelflow.cli.app import main
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.records import FORMAT, HASH
from tests.conftest import TINY, make_run, make_spec

NAMES = """
import json, sys
from pixelflow.core.assembly import build_dataset
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.generation.settings import code_behind
from pixelflow.sweep.points.keys import cell_key, training_key
from tests.conftest import make_spec
specs = {use: make_spec(*changes) for use, changes in json.loads(sys.argv[1]).items()}
print(json.dumps({use: {
    "training": training_key(spec),
    "cell": cell_key(spec),
    "images": DatasetSource(build_dataset(spec), 0).identity,
    "drawn": code_behind(spec, spec.sampling),
} for use, spec in specs.items()}))
"""


def names_of(site: Site, uses: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Under what a process keeps the parts of the tiny spec with each of some changes."""
    done = site.run("-c", NAMES, json.dumps(uses))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def names(site: Site, *changes: str) -> dict[str, str]:
    return names_of(site, {"one": [*changes]})["one"]


def edit(site: Site) -> None:
    module = site.path / "all.py"
    module.write_text(f"{module.read_text()}\n# another line\n")


def upgrade(site: Site) -> None:
    metadata = site.path / "dist_all-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.2", "Version: 1.3"))


def edit_another_package(site: Site) -> None:
    """One that the same distribution brings, which the plugin imports."""
    (site.path / "all_helpers.py").write_text("another = 1")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    add_every_kind(site)
    return site


@pytest.mark.parametrize("change", [edit, upgrade, edit_another_package])
def test_names_follow_the_code_of_the_plugins_that_are_used(site, change):
    (site.path / "all_helpers.py").write_text("")
    (site.path / "all.py").write_text(f"import all_helpers\n{(site.path / 'all.py').read_text()}")
    (site.path / "dist_all-1.2.dist-info" / "top_level.txt").write_text("all\nall_helpers\n")
    used = {"training": ["data=all.digits"], "cell": ["sampling.sampler=all.euler"], "none": []}
    before = names_of(site, used)
    change(site)
    after = names_of(site, used)
    assert after["none"] == before["none"], "an installed plugin that is not used does not count"
    changed = {use: {name for name, value in before[use].items() if after[use][name] != value} for use in used}
    assert changed["training"] == {"training", "cell", "images"}
    assert changed["cell"] == {"cell", "drawn"}


def test_where_no_plugin_is_used_names_are_those_of_a_process_without_plugins(site, monkeypatch):
    with_it = names(site)
    monkeypatch.setenv("PIXELFLOW_DISABLE_PLUGINS", "1")
    assert names(site) == with_it
    assert with_it["drawn"] == {}


def test_what_is_no_source_does_not_count(site):
    before = names(site, "data=all.digits")
    (site.path / "__pycache__").mkdir(exist_ok=True)
    (site.path / "__pycache__/all.py").write_text("")
    (site.path / "beside_it.py").write_text("")
    assert names(site, "data=all.digits") == before


def test_a_resume_appends_what_it_goes_on_with(site, tmp_path):
    """The record of what trained before stays; a line says what is new."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    run, options = tmp_path / "runs" / "tiny", ["data=all.digits", "image.size=8"]

    def trained(steps: int) -> str:
        (answer,) = site.pixelflow(["train", "tiny.yaml", f"training.steps={steps}", *options], cwd=tmp_path)
        assert answer.code == 0, answer.err
        return answer.err

    trained(1)
    first = RunFolder(run).environment
    assert first["plugins"]["all"]["distribution"] == "dist_all 1.2"
    assert first["plugins"]["all"]["components"] == ["dataset all.digits"]
    assert "goes on under" not in trained(2)
    assert RunFolder(run).environment == first, "nothing has changed, nothing is noted"
    edit(site)
    said = [line for line in trained(3).splitlines() if "goes on under other versions" in line]
    assert len(said) == 1
    assert "plugin all (dist_all 1.2): its source has changed" in said[0]
    upgrade(site)
    assert "plugin all: dist_all 1.2 then, dist_all 1.3 now" in trained(4)
    body = RunFolder(run).environment
    history = body.pop("history")
    assert body == first
    assert [entry["step"] for entry in history] == [2, 3]
    assert [entry["plugins"]["all"]["distribution"] for entry in history] == ["dist_all 1.2", "dist_all 1.3"]
    assert history[0]["plugins"]["all"]["source_sha256"] == history[1]["plugins"]["all"]["source_sha256"]


def test_images_that_another_version_drew_are_not_taken_for_these(site, tmp_path):
    run = make_run(tmp_path / "run", make_spec())

    def drawn() -> str:
        (answer,) = site.pixelflow(["sample", str(run), "--count", "1", "--sampler", "all.euler", "--steps", "1"])
        assert answer.code == 0, answer.err
        return answer.out

    assert "drawn before" not in drawn()
    assert "drawn before" in drawn()
    edit(site)
    assert drawn().endswith("drawn-2\n")
    assert drawn().endswith("drawn before, and are in " + str(run / "samples" / "drawn-2") + "\n")


def unsealed(file):
    """A record as earlier versions wrote it, without format and hash."""
    return {key: value for key, value in json.loads(file.read_text()).items() if key not in (FORMAT, HASH)}


def test_other_versions_of_packages_are_noted_too(tmp_path):
    run = RunFolder(make_run(tmp_path / "run", make_spec()))
    file = run.path / "environment.json"
    body = unsealed(file)
    body["packages"]["torch"] = "1.0"
    file.write_text(json.dumps(body))
    (told,) = run.note_resume(7, make_spec())
    assert told.startswith("torch 1.0 then, ")
    assert run.note_resume(8, make_spec()) == []
    assert [entry["step"] for entry in run.environment["history"]] == [7]


PLANNED = """
from pathlib import Path
from pixelflow.sweep.points.plan import Plan
from pixelflow.sweep.points.points import read_sweep
Plan.of(*read_sweep(Path("sweep.yaml"))).write(Path("sweeps/quick"))
"""


def test_a_worker_with_another_plugin_than_the_plan_refuses(site, tmp_path):
    """A sweep's parts are kept under the code that its command found; nothing else may be put there."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "sweep.yaml").write_text(
        "name: quick\nbase: tiny.yaml\nset: {data: all.digits, image.size: 8, training.steps: 1}\n"
        "axes: {sampling.steps: [1]}\n"
    )
    assert site.run("-c", PLANNED, cwd=tmp_path).returncode == 0
    edit(site)
    work = "from pathlib import Path\nfrom pixelflow.sweep.work.worker import work\nwork(Path('sweeps/quick'), None)"
    assert site.run("-c", work, cwd=tmp_path).returncode == 0
    (failed,) = (tmp_path / "sweeps/trainings").glob("*/failed.json")
    assert "a plugin is not the one that the sweep was planned with" in failed.read_text()


MAKE = """
import json, sys
from pathlib import Path
from tests.conftest import make_run, make_spec
for run, changes in json.loads(sys.argv[1]).items():
    make_run(Path(run), make_spec(*changes))
"""

DRAWS_WITHOUT = ("data", "objective.times", "evaluation.metrics.0", "evaluation.metrics.0.extractor")
REPLACED = {
    "sampling.sampler": ["--sampler", "heun"],
    "sampling.grid": ["--grid", "uniform"],
    "sampling.guidance": ["--guidance", "constant"],
}


@pytest.fixture(scope="module")
def orphans(tmp_path_factory) -> Path:
    """Runs that a plugin's components made, here where it is not installed: one for each slot, and ``every``."""
    folder = tmp_path_factory.mktemp("orphans")
    (folder / "site").mkdir()
    site = Site(folder / "site")
    add_every_kind(site)
    changes = dict(zip([key for key in SLOTS if key != "evaluation.metrics.0.extractor"], choices(), strict=True))
    changes["evaluation.metrics.0.extractor"] = "evaluation.metrics=[{type: frechet, extractor: all.pixels_pca}]"
    runs = {str(folder / key): [change, "image.size=8"] for key, change in changes.items()}
    done = site.run("-c", MAKE, json.dumps({**runs, str(folder / "every"): [*choices(), "image.size=8"]}))
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "site")
    return folder


def answer(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0), capsys.readouterr().err


def named(key: str) -> str:
    kind, name = SLOTS[key]
    return f"the {kind} 'all.{name}' is of dist_all 1.2, which is not installed"


@pytest.mark.parametrize("key", SLOTS)
def test_of_a_run_whose_plugin_is_gone_all_else_works(orphans, tmp_path, capsys, key):
    command = ["sample", str(orphans / key), "--count", "2", "--out", str(tmp_path / "drawn")]
    code, told = answer(capsys, *command)
    if key in DRAWS_WITHOUT:
        assert code == 0, told
        return
    assert code == 69, told
    assert named(key) in told
    assert len(told.splitlines()) == 1
    if key in REPLACED:
        assert REPLACED[key][0] in told, "the line says what may take its place"
        assert answer(capsys, *command, *REPLACED[key])[0] == 0


@pytest.mark.parametrize("key", ["data", "evaluation.metrics.0", "evaluation.metrics.0.extractor"])
def test_an_evaluation_names_what_it_lacks(orphans, tmp_path, capsys, key):
    code, told = answer(capsys, "eval", str(orphans / key), "--images", "2", "--out", str(tmp_path / "measured"))
    assert code == 69
    assert named(key) in told


def test_a_run_of_an_earlier_version_names_it_too(orphans, tmp_path, capsys):
    """It lists the installed plugins, and not what they brought."""
    run = shutil.copytree(orphans / "sampling.sampler", tmp_path / "run")
    body = unsealed(run / "environment.json")
    (run / "environment.json").write_text(json.dumps({**body, "plugins": ["all (dist_all 1.2)"]}))
    code, told = answer(capsys, "sample", str(run), "--count", "1")
    assert code == 69
    assert named("sampling.sampler") in told


def test_settings_of_what_is_gone_are_kept(orphans):
    run = RunFolder(orphans / "every")
    before = yaml.safe_load(run.spec_file.read_text())
    run.write_spec(run.read_spec())
    assert yaml.safe_load(run.spec_file.read_text()) == before
    assert before["backbone"] == {"type": "all.dit", **make_spec().backbone.model_dump(exclude={"type"})}


def test_a_spec_says_which_plugin_is_not_installed(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY)
    code, told = answer(capsys, "validate", str(tmp_path / "tiny.yaml"), "sampling.sampler=gone.fast")
    assert code == 78
    assert "no plugin 'gone' is installed" in told
