"""What is installed: its name, what it brings, and what lies in the archives that people install from."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pixelflow.cli.new_plugin import KINDS, files
from pixelflow.system.distribution import DISTRIBUTION, install

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HINT = re.compile(r"pip install '?([\w-]+)\[([\w,]+)\]|install\(['\"]([\w,]+)['\"]\)")


def test_the_constant_is_the_name():
    assert PROJECT["name"] == DISTRIBUTION


def test_every_hint_names_the_distribution_and_extras_that_there_are():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "pixelflow").rglob("*.py")]
    found = [(page, *hit) for page in pages for hit in HINT.findall(page.read_text())]
    assert len(found) > 15
    for page, name, told, given in found:
        assert name in ("", DISTRIBUTION), page
        assert set((told or given).split(",")) <= set(PROJECT["optional-dependencies"]), page
    assert install("t5") == "pip install 'pixelflow-toolkit[t5]'"


@pytest.mark.parametrize("kind", KINDS)
def test_new_plugins_ask_for_the_distribution(kind: str):
    assert tomllib.loads(files("acme", kind)["pyproject.toml"])["project"]["dependencies"] == [DISTRIBUTION]


def test_the_example_plugins_ask_for_the_distribution():
    for file in (ROOT / "plugins").glob("*/pyproject.toml"):
        assert tomllib.loads(file.read_text())["project"]["dependencies"] == [DISTRIBUTION]


def test_what_is_always_installed_leaves_the_users_torch_alone():
    """torchvision's releases are each made for one torch, so whatever asks for it may replace the user's."""
    base = {re.split(r"[^\w-]", line)[0] for line in PROJECT["dependencies"]}
    assert not base & {"torchvision", "clean-fid", "open-clip-torch", "timm", "xformers", "torchaudio"}
    assert [line for line in PROJECT["dependencies"] if line.startswith("torch>=")] == ["torch>=2.6"]
    assert not [line for line in PROJECT["dependencies"] if line.startswith("scipy") and "<" in line]


FOLDERS = ("pixelflow", "tests", "docs", "specs", "plugins", "benchmarks", ".ci", ".github")
TRACES = ("__pycache__", "*.egg-info", "build")
"""What working with the sources leaves in them."""


def built(kind: str, source: Path, target: Path) -> Path:
    """An sdist or a wheel of a source tree, made by the build backend that pip would call."""
    code = f"from setuptools import build_meta as b; print('made', b.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("packaging")
    copy = folder / "copy"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*TRACES))
    for file in ROOT.iterdir():
        if file.is_file() and file.name != ".git":
            shutil.copy(file, copy)
    archive = built("sdist", copy, folder / "out")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def files_below(folder: Path) -> set[str]:
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(path) for path in paths if not any(fnmatch(part, trace) for part in path.parts for trace in TRACES)}


def test_the_sdist_is_complete(unpacked: Path):
    for name in FOLDERS:
        assert not files_below(ROOT / name) - files_below(unpacked / name), name
    names = ["Makefile", "constraints.txt", "LICENSE", "CHANGELOG.md", "README.md"]
    if shutil.which("git"):  # where these are sources under git, all that it keeps
        names += subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    assert not [name for name in names if not (unpacked / name).is_file()]


def test_tests_run_from_the_sdist(unpacked: Path):
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    tests = ["tests/core/test_schedule.py", "tests/specs/test_specs.py"]
    done = subprocess.run([*command, *tests], cwd=unpacked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_wheel_of_the_sdist_works_on_its_own(unpacked: Path, tmp_path: Path):
    wheel = built("wheel", unpacked, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info" not in name}
        archive.extractall(tmp_path / "site")
    assert {name for name in names if not name.startswith("pixelflow/")} == set()
    assert {name.removeprefix("pixelflow/specs/") for name in names if "/specs/" in name} == files_below(ROOT / "specs")
    for name in ("py.typed", "cli/skeleton/pyproject.toml.txt", "hub/exported/pipeline.py", "sweep/report/page.html"):
        assert f"pixelflow/{name}" in names
    (metadata,) = (tmp_path / "site").glob("*.dist-info/METADATA")
    assert "Project-URL: Paper, https://arxiv.org/abs/2504.07963" in metadata.read_text()
    assert "Classifier: Programming Language :: Python :: 3.13" in metadata.read_text()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = (
        "import pixelflow; print(pixelflow.__file__); from pixelflow.cli.app import main; main(['validate', 'digits'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    place, answer = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path / "site")
    assert answer.startswith("ok: digits,")


WITHOUT_EXTRAS = """
import json, sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from pixelflow.cli.app import main
for arguments in json.loads(sys.argv[2]):
    try:
        main(arguments)
    except SystemExit as stopped:
        assert not stopped.code, arguments
"""


def test_the_demos_commands_need_the_base_install_alone(tmp_path: Path):
    """They run where nothing that only an extra brings can be imported."""
    extras = [line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines]
    packages = {re.split(r"[><=]", line)[0].replace("-", "_") for line in extras}
    missing = ",".join(packages | {"cleanfid", "open_clip", "timm"})
    run = tmp_path / "runs" / "digits"
    small = (
        "training.steps=2",
        "training.batch_size=4",
        "sampling.steps=1",
        "backbone.depth=1",
        "evaluation.images=20",
    )
    commands = [
        ["train", "digits", *small, "training.samples=2"],
        ["sample", str(run), "--labels", "0,1", "--guidance", "1.5"],
        ["eval", str(run), "--guidance", "1.5"],
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIXELFLOW_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", WITHOUT_EXTRAS, missing, json.dumps(commands)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (run / "loss.png").is_file()
