"""What every component of a kind must keep, checked by running it.

The project's own tests run these checks over all built-ins; ``pixelflow check-plugin`` runs them over a plugin's
components, and a plugin's tests can call `check` themselves.
"""

from __future__ import annotations

from pixelflow.contracts import settings
from pixelflow.contracts.checking import Check, ContractError, Outcome, run
from pixelflow.core import kinds
from pixelflow.core.component import ComponentParams

__all__ = ["Check", "ContractError", "Outcome", "check", "checks_of"]


def checks_of(kind: str) -> tuple[Check, ...]:
    """All checks of a kind, with those of every component's settings; raises KeyError on an unknown kind."""
    found = [kinds.resolved(reference) for reference in kinds.known()[kind].checks]
    return (*settings.CHECKS, *(check for each in found for check in (each if isinstance(each, tuple) else (each,))))


def check(params: ComponentParams) -> list[Outcome]:
    """Run every check on the component that these settings describe."""
    return [run(one, params) for one in checks_of(params.component.kind)]
