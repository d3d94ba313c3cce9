"""The table of kinds: every row leads to what it names, and everything of a kind is in the table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from pixelflow import contracts
from pixelflow.core import kinds, plugins
from pixelflow.core.component import Component, components
from pixelflow.core.registry import registry
from tests.conftest import make_spec

plugins.load()

IN_SPECS = [kind for kind in kinds.BUILT_IN if kind.command == "train SPEC"]


@pytest.mark.parametrize("kind", kinds.BUILT_IN, ids=lambda kind: kind.name)
def test_every_row_leads_to_what_it_names(kind):
    interface = kinds.resolved(kind.interface)
    assert issubclass(interface, Component)
    assert interface.kind == kind.name
    own = contracts.checks_of(kind.name)
    assert len(own) > len(contracts.settings.CHECKS)
    assert all(check.__doc__ for check in own)
    rooms = {entry.cls.__module__.rpartition(".")[0] for entry in registry.of_kind(kind.name).values()}
    assert kind.room in {".".join(room.split(".")[:2]) for room in rooms}


def test_every_kind_with_a_component_is_in_the_table():
    assert set(registry.kinds()) <= set(kinds.known())


@pytest.mark.parametrize("kind", IN_SPECS, ids=lambda kind: kind.name)
def test_the_slot_takes_a_component_of_the_kind(kind):
    name = {"dataset": "digits", "conditioner": "class_label"}.get(kind.name, next(iter(registry.of_kind(kind.name))))
    _, _, assignment = kind.choice(name).partition("train SPEC ")
    (assignment,) = shlex.split(assignment)
    held: Any = make_spec(assignment)
    for part in kind.key.split("."):
        held = getattr(held, part)
    found = {(one.component.kind, one.component.type_name()) for one in components(held)}
    assert (kind.name, name) in found
    assert isinstance(held, tuple) == kind.is_many


def test_nothing_of_the_table_is_imported_with_it():
    lines = Path(kinds.__file__).read_text().splitlines()
    assert not [line for line in lines if line.startswith(("from pixelflow", "import pixelflow"))]
