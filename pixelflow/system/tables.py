"""Plain-text tables and quantities."""

from __future__ import annotations

from collections.abc import Sequence

from pixelflow.system.printing import printable

_PREFIXES = ("", "K", "M", "G", "T", "P", "E")


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows as lines; the first column is aligned to the left, the others to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        indent
        + "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def quantity(value: float, unit: str = "") -> str:
    """``2909400000.0`` as ``2.91 G``: three digits and a prefix of powers of 1000."""
    power = 0
    while abs(value) >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    digits = 0 if value >= 99.95 or (not power and value == int(value)) else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_PREFIXES[power]}{unit}".rstrip()


def percent(share: float) -> str:
    """``0.37`` as ``37%``, ``0.037`` as ``3.7%``."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def duration(seconds: float) -> str:
    """``193784`` as ``2.2 days``."""
    for length, unit in ((365.25 * 86400, "years"), (86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    if seconds >= 0.1:
        return f"{seconds:.{1 if seconds >= 1 else 2}f} seconds"
    return f"{seconds * 1000:.3g} milliseconds"
