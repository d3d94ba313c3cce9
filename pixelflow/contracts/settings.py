"""Checks of every component's settings."""

from __future__ import annotations

from pixelflow.contracts.checking import Check, expect
from pixelflow.core.component import ComponentParams


def survive_a_round_trip(params: ComponentParams) -> None:
    """Settings written to a run's spec read back equal."""
    again = type(params).model_validate(params.model_dump(mode="json"))
    expect(again == params, f"{params} came back as {again}")


def are_described(params: ComponentParams) -> None:
    """Every setting has a docstring below it, and the class one too."""
    fields = type(params).model_fields
    bare = [name for name, field in fields.items() if name != "type" and not field.description]
    expect(not bare, f"there is no docstring below {', '.join(bare)}")
    expect(bool(params.component.__doc__), f"{params.component.__qualname__} has no docstring")


CHECKS: tuple[Check, ...] = (survive_a_round_trip, are_described)
