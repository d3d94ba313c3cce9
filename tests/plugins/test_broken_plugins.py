"""A broken plugin is named with its reason, and nothing else suffers from it."""

from __future__ import annotations

import pytest
from distributions import Site

GOOD = """
    from typing import Literal
    from pixelflow import hookimpl
    from pixelflow.core.interfaces import Sampler

    class Still(Sampler):
        order = 1
        nfe_per_step = 1

        class Params(Sampler.Params):
            type: Literal["{name}"] = "{name}"

        def integrate(self, field, x, points, noise):
            return x
"""
HOOK = """
    @hookimpl
    def register_components():
        return [Still]
"""

BROKEN = {
    "import-error": ("import no_such_module_at_all", "cannot be imported: ModuleNotFoundError"),
    "syntax-error": ("def (", "cannot be imported: SyntaxError"),
    "exits": ("import sys\nsys.exit(3)", "cannot be imported: SystemExit: 3"),
    "odd-exception": (
        "class Odd(BaseException):\n    def __str__(self): raise ValueError\nraise Odd",
        "cannot be imported: Odd: its message cannot be shown",
    ),
    "long-message": ("raise ValueError('x\\n' * 5000)", "cannot be imported: ValueError: x x x"),
    "validates-early": (
        "from pixelflow.core.spec import ExperimentSpec\nExperimentSpec.model_validate({})",
        "cannot be imported: RuntimeError: a spec is validated while plugins are still being imported",
    ),
    "extra-argument": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(registry): return []",
        "Argument(s) {'registry'} are declared in the hookimpl but can not be found in the hookspec",
    ),
    "misspelt-hook": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_component(): return []",
        "is refused: PluginValidationError: unknown hook 'register_component'",
    ),
    "unmarked-hook": ("def register_components(): return []", "mark register_components with @pixelflow.hookimpl"),
    "raising-hook": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): raise OSError('no disk')",
        "register_components failed: OSError: no disk",
    ),
    "exiting-hook": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): raise SystemExit",
        "register_components failed: SystemExit",
    ),
    "returns-none": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): pass",
        "register_components returned NoneType, not a list of component classes",
    ),
    "returns-text": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): return 'Still'",
        "register_components returned str, not a list of component classes",
    ),
    "yields": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): yield 1",
        "register_components returned generator",
    ),
    "kind-of-nothing": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_kinds(): return [1]\n"
        "@hookimpl\ndef register_components(): return []",
        "register_kinds failed: TypeError: 1 is not a row of the table",
    ),
    "kinds-none": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_kinds(): pass\n"
        "@hookimpl\ndef register_components(): return []",
        "register_kinds returned NoneType, not a list of kinds",
    ),
    "takes-a-kind": (
        "from dataclasses import replace\nfrom pixelflow import hookimpl\nfrom pixelflow.core import kinds\n"
        "@hookimpl\ndef register_kinds(): return [replace(kinds.BUILT_IN[0])]\n"
        "@hookimpl\ndef register_components(): return []",
        "register_kinds failed: ValueError: there is a kind 'downsampler' already",
    ),
    "unknown-kind": (
        GOOD.format(name="bad.kind").replace("order = 1", "kind = 'samplr'; order = 1") + HOOK,
        "no kind of component is called 'samplr'; did you mean 'sampler'?",
    ),
    "not-a-class": (
        "from pixelflow import hookimpl\n@hookimpl\ndef register_components(): return [42]",
        "TypeError: 42 is not a component class: derive it from a kind of pixelflow.core.interfaces",
    ),
    "abstract": (
        GOOD.format(name="bad.abstract") + HOOK.replace("[Still]", "[Sampler]"),
        "TypeError: Sampler does not define integrate",
    ),
    "no-type": (
        GOOD.format(name="x").replace('type: Literal["x"] = "x"', "pass") + HOOK,
        'TypeError: Still.Params needs a field  type: Literal["name"] = "name"',
    ),
    "free-type": (
        GOOD.format(name="x").replace('type: Literal["x"]', "type: str") + HOOK,
        'TypeError: Still.Params needs a field  type: Literal["x"] = "x"',
    ),
    "alien-params": (
        GOOD.format(name="bad.alien").replace("Params(Sampler.Params)", "Params") + HOOK,
        "TypeError: Still needs  class Params(Sampler.Params)  of its own",
    ),
    "inherited-params": (
        GOOD.format(name="bad.parent") + "\n    class Heir(Still):\n        pass\n" + HOOK.replace("[Still]", "[Heir]"),
        "TypeError: Heir needs  class Params(Sampler.Params)  of its own",
    ),
    "unknown-annotation": (
        GOOD.format(name="bad.annotation").replace('= "bad.annotation"', '= "bad.annotation"; x: "Nowhere" = 1') + HOOK,
        "the Params of sampler 'bad.annotation' cannot be used: PydanticUndefinedAnnotation",
    ),
    "no-json-schema": (
        GOOD.format(name="bad.schema").replace('= "bad.schema"', '= "bad.schema"; x: Exception = None') + HOOK,
        "the Params of sampler 'bad.schema' cannot be used: PydanticSchemaGenerationError",
    ),
    "takes-a-built-in": (
        GOOD.format(name="euler") + HOOK,
        "DuplicateNameError: the sampler name 'euler' is already taken by pixelflow",
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All broken plugins at once, between two that work, and three that are broken by their metadata."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.add("a-good", GOOD.format(name="a_good.still") + HOOK)
    for name, (code, _) in BROKEN.items():
        site.add(name, code)
    site.add("z-good", GOOD.format(name="z_good.still") + HOOK)
    site.add("no-attribute", "here = 1", entry_point="no_attribute:there")
    site.metadata("dist_twin", "[pixelflow]\nz-good = a_good\n")
    site.metadata("dist_nameless", "[pixelflow]\nnameless = a_good\n")
    (site.path / "dist_nameless-1.2.dist-info/METADATA").unlink()
    site.metadata("dist_unreadable", "[pixelflow]\nunreadable = no module!\n")
    return site


@pytest.fixture(scope="module")
def report(site):
    return site.report()


@pytest.mark.parametrize("name", BROKEN)
def test_is_named_with_its_reason(report, name):
    assert " ".join(BROKEN[name][1].split()) in report["failures"][name]
    assert len(report["failures"][name]) < 400
    assert "\n" not in report["failures"][name]


def test_the_others_work(report):
    working = {
        name: origin
        for name, origin in report["components"].items()
        if origin.startswith(("a-good", "z-good", *BROKEN))
    }
    # The order of distributions on a path is the file system's, so either twin may come first.
    assert working["sampler a_good.still"] == "a-good (dist_a_good 1.2)"
    assert "sampler z_good.still" in working or "z-good" in report["failures"]
    assert set(working) <= {"sampler a_good.still", "sampler z_good.still"}
    assert report["components"]["sampler euler"] == "pixelflow"


def test_a_missing_attribute_is_named(report):
    assert "cannot be imported: AttributeError" in report["failures"]["no-attribute"]


def test_two_plugins_of_one_name_are_both_named(report):
    assert "dist_z_good 1.2" in report["failures"]["z-good"]
    assert "dist_twin 1.2" in report["failures"]["z-good"]


def test_damaged_metadata_are_named(report):
    assert "METADATA file is missing" in report["failures"]["nameless"]
    assert "cannot be imported" in report["failures"]["unreadable"]


def test_a_spec_still_validates_and_names_the_broken_owner(site, tiny_file):
    code = f"""
from pathlib import Path
from pixelflow.core import reading
from pixelflow.system.errors import SpecError
from pixelflow.core.spec import ExperimentSpec
document = reading.read_document(Path({str(tiny_file)!r}))
reading.validate(ExperimentSpec, document)
for wanted in ("a_good.still", "exits.fast", "stranger.fast"):
    try:
        reading.validate(ExperimentSpec, reading.override(document, ["sampling.sampler=" + wanted]))
        print(wanted, "is fine")
    except SpecError as error:
        print(error)
"""
    done = site.run("-c", code)
    assert done.returncode == 0, done.stderr
    good, broken, stranger = done.stdout.splitlines()
    assert good == "a_good.still is fine"
    assert "no sampler is called 'exits.fast'" in broken
    assert "plugin exits is broken: cannot be imported: SystemExit: 3" in broken
    assert "import-error" not in broken
    assert "plugin import-error is broken" in stranger


def test_what_a_plugin_prints_stays_out_of_the_output(tmp_path):
    site = Site(tmp_path)
    hook = HOOK.replace("return", "print('from the hook')\n        return")
    site.add("talks", "    print('from the module')" + GOOD.format(name="talks.still") + hook)
    done = site.run("-c", "from pixelflow.core import plugins\nplugins.load()\nprint('loaded', plugins.failures())")
    assert done.stdout == "loaded []\n"
    assert "from the module\nfrom the hook" in done.stderr


def test_ctrl_c_passes(tmp_path):
    site = Site(tmp_path)
    site.add("interrupted", "raise KeyboardInterrupt")
    done = site.run("-c", "from pixelflow.core import plugins\nplugins.load()")
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode != 0


def test_plugins_can_be_switched_off(tmp_path, monkeypatch):
    site = Site(tmp_path)
    site.add("exits", "raise SystemExit")
    monkeypatch.setenv("PIXELFLOW_DISABLE_PLUGINS", "1")
    report = site.report()
    assert report["failures"] == {}
    assert report["plugins"] == []
    assert "sampler euler" in report["components"]


def test_a_distribution_that_lies_on_the_path_twice_is_one(tmp_path_factory):
    site, other = (Site(tmp_path_factory.mktemp("site")) for _ in range(2))
    for each in (site, other):
        each.add("good", GOOD.format(name="good.still") + HOOK)
    code = f"import sys; sys.path.append({str(other.path)!r})\n"
    done = site.run("-c", code + "from pixelflow.core import plugins\nprint(plugins.failures())")
    assert done.stdout.strip() == "[]", done.stderr
