"""Ctrl-C while a plugin is at work, or a plugin that raises the like."""

from __future__ import annotations

import pytest

from pixelflow.core.plugins import Plugin, _guarded


def interrupted() -> None:
    raise KeyboardInterrupt


def test_an_interruption_within_a_plugin_names_it(capsys):
    with pytest.raises(KeyboardInterrupt):
        _guarded(Plugin("acme", "acme 1.0"), "", interrupted)
    assert capsys.readouterr().err == "pixelflow: interrupted in plugin acme\n"
