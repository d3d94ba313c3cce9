"""Kinds of plugins: what is wrong with one is a broken promise of it, and harms no command."""

from __future__ import annotations

import pytest
from distributions import Site

CODE = """
    from typing import Annotated, Literal
    from pixelflow import hookimpl
    from pixelflow.core.component import Component, ComponentParams
    from pixelflow.core.kinds import Kind

    class Warp(Component):
        kind = "acme.warp"

        class Params(ComponentParams):
            pass

    class Bend(Warp):
        '''Bends.'''

        class Params(Warp.Params):
            type: Literal["acme.bend"] = "acme.bend"

    def silent(params): ...

    @hookimpl
    def register_kinds():
        good = dict(title="warps", interface="acme:Warp", page="README")
        return [
            Kind(name="acme.warp", slot="data.warp=NAME", checks=("acme:silent",), **good),
            Kind(name="acme.gone", slot="data.gone", checks=("acme:nobody",), title="", interface="acme_gone:Warp"),
            Kind(name="twist", slot="data.twist=NAME", title="twists", interface="acme:silent", skeleton="acme"),
        ]

    @hookimpl
    def register_components():
        return [Bend]
"""

NOT_WRITTEN = {
    "new-plugin mine --kind acme.warp": (2, "acme.warp: its plugin names no example to copy"),
    "new-plugin mine --kind twist": (69, "twist: its plugin's example, acme, cannot be used: "),
    "new-plugin mine --kind acme.warb": (2, "did you mean 'acme.warp'?"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    site.add("acme", CODE)
    lines = ("check-plugin acme", "components acme.warp", "components", "validate digits", *NOT_WRITTEN)
    return dict(zip(lines, site.pixelflow(*(line.split() for line in lines)), strict=True))


def test_check_plugin_says_what_is_wrong_with_a_kind(answers):
    code, out, err = answers["check-plugin acme"]
    assert (code, err.count("\n")) == (65, 1)
    told = {block.partition("\n")[0]: block for block in out.split("kind ")[1:]}
    assert "no component has a setting 'warp' with Slot('acme.warp')" in told["acme.warp"]
    assert "silent has no docstring" in told["acme.warp"]
    assert "'acme_gone:Warp' leads nowhere: ModuleNotFoundError" in told["acme.gone"]
    assert "'acme:nobody' leads nowhere: AttributeError" in told["acme.gone"]
    assert "the slot is 'data.gone'" in told["acme.gone"]
    assert "'twist' should be 'acme.twist'" in told["twist"]
    assert "acme:silent is not derived from" in told["twist"]
    assert "page is empty" in told["twist"]
    assert "acme holds 0 components of it, not one" in told["twist"]
    assert "acme.warp acme.bend\n  kept " in out


@pytest.mark.parametrize("line", ["components acme.warp", "components", "validate digits"])
def test_other_commands_go_on(answers, line):
    assert answers[line].code == 0, answers[line].err


@pytest.mark.parametrize("line", NOT_WRITTEN)
def test_no_plugin_is_written_for_what_has_no_example(answers, line):
    code, told = NOT_WRITTEN[line]
    assert answers[line].code == code
    assert told in answers[line].err
    assert answers[line].err.count("\n") == 1
