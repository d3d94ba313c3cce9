"""Every kind of skeleton, as new-plugin writes it, installs with pip and passes its own test."""

from __future__ import annotations

import shlex

import pytest
from distributions import Site, pip_install

from pixelflow.cli.new_plugin import KINDS
from pixelflow.core.kinds import known
from tests.conftest import make_run, make_spec

QUICK = ("sampler", "upsampler", "guidance", "command")
REST = tuple(kind for kind in KINDS if kind not in QUICK)


@pytest.fixture(scope="module", params=[QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["common", "rest"])
def installed(request, tmp_path_factory):
    """The kinds, a site with one plugin of each, and the folder of their sources."""
    site, sources = Site(tmp_path_factory.mktemp("site")), tmp_path_factory.mktemp("sources")
    commands = [["new-plugin", f"my-{kind}", "--kind", kind, "--out", str(sources)] for kind in request.param]
    assert [answer.code for answer in site.pixelflow(*commands)] == [0] * len(commands)
    pip_install(sorted(sources.iterdir()), site.path)
    return request.param, site, sources


def test_its_own_test_passes(installed):
    _, site, sources = installed
    done = site.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(sources))
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_check_plugin_finds_every_promise_kept(installed):
    for answer in installed[1].pixelflow(*(["check-plugin", f"my-{kind}"] for kind in installed[0])):
        assert answer.code == 0, answer.out + answer.err
        assert "broken" not in answer.out


def test_a_spec_can_name_it(installed, tiny_file):
    """The line of the README that says how works as it stands."""
    kinds, site, sources = installed
    in_specs = [kind for kind in kinds if kind in known() and known()[kind].command == "train SPEC"]
    readmes = [(sources / f"pixelflow-my-{kind}/README.md").read_text() for kind in in_specs]
    choices = [shlex.split(readme.rpartition("SPEC ")[2]) for readme in readmes]
    for answer in site.pixelflow(*(["validate", str(tiny_file), *choice] for choice in choices)):
        assert answer.code == 0, answer.err


def test_a_command_runs(installed, tmp_path):
    """As its README says, on a run."""
    kinds, site, _ = installed
    if "command" not in kinds:
        return
    run = make_run(tmp_path / "run", make_spec())
    (answer,) = site.pixelflow(["my-command-parts", str(run)])
    assert (answer.code, answer.err) == (0, "")
    assert [line.split()[0] for line in answer.out.splitlines()] == ["backbone", "conditioners"]
