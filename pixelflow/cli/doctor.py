"""``pixelflow doctor``."""

from __future__ import annotations

import os
import platform
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pixelflow.core.version import __version__
from pixelflow.system.tables import quantity
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    import torch


_NO_TORCH = "not known, for torch does not work"


def doctor() -> None:
    """Show what is installed. Versions, devices, attention kernels, optional parts that are missing, plugins.

    Every package that is listed is imported, in a process of its own, so that a broken one is found.
    """
    from pixelflow.cli.importing import failures

    needed = [package for package, _, extra in _requirements() if extra != "dev" and _version(package)]
    broken = failures(list(dict.fromkeys(needed)))
    asks_torch = {"devices": _devices, "attention of packed batches": _attention}
    _tell("versions", _versions(broken))
    for title, lines in asks_torch.items():
        _tell(title, [_NO_TORCH] if "torch" in broken else lines())
    _tell("optional parts", _optional(broken))
    _tell("plugins", [_NO_TORCH] if "torch" in broken else _plugins())


def _tell(title: str, lines: Sequence[str]) -> None:
    tell(title, *(f"  {line}" for line in lines), "")


def _versions(broken: Mapping[str, str]) -> list[str]:
    from pixelflow.system.distribution import DISTRIBUTION, foreign

    packages = sorted({package for package, _, extra in _requirements() if not extra}, key=str.lower)
    stranger = foreign()
    return [
        f"{DISTRIBUTION} {__version__} ({Path(__file__).parents[1]})",
        *([f"BROKEN: {stranger}"] if stranger else []),
        f"python {platform.python_version()} ({sys.executable})",
        *(
            f"{name} {version}{_state(name, broken)}"
            if (version := _version(name))
            else f"{name} MISSING: pip install {DISTRIBUTION}"
            for name in packages
        ),
    ]


def _state(package: str, broken: Mapping[str, str]) -> str:
    return f" DOES NOT WORK: {broken[package]}" if package in broken else ", works"


def _requirements() -> list[tuple[str, str, str]]:
    """(package, whole requirement, extra) of all that pixelflow asks for; no extra for what it always needs."""
    found = []
    for line in _requirement_lines():
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        package = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", condition)
        found.append((package, requirement, extra.group(1) if extra else ""))
    return found


def _requirement_lines() -> list[str]:
    """From the installed package, or from the sources it runs from."""
    from pixelflow.system.distribution import DISTRIBUTION

    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"].items()
        needed: list[str] = project["dependencies"]
        return needed + [f"{line}; extra == '{extra}'" for extra, lines in extras for line in lines]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _optional(broken: Mapping[str, str]) -> list[str]:
    return [
        f"{package} {version} ({extra}){_state(package, broken)}"
        if (version := _version(package))
        else f"{package} is missing ({extra}): {sys.executable} -m pip install '{requirement}'"
        for package, requirement, extra in _requirements()
        if extra not in ("", "dev")
    ]


def _devices() -> list[str]:
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform != "win32" else 0
    lines = [f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads, {quantity(memory, 'B')} of memory"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        lines.append(f"cuda:{index}: {properties.name}, {quantity(properties.total_memory, 'B')} of memory")
    if torch.cuda.is_available():
        is_on = torch.backends.cuda.matmul.allow_tf32
        state = "on" if is_on else "off, as torch sets it; bfloat16 is faster"
        lines.append(f"products in float32 on GPUs: TF32 is {state}")
    if torch.backends.mps.is_available():
        lines.append("mps: available")
    return lines


def _attention() -> list[str]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [line for dtype in (torch.float32, torch.bfloat16) for line in _kernels(device, dtype)]


def _kernels(device: str, dtype: torch.dtype) -> list[str]:
    from pixelflow.core.attention import available_kernels, choose_kernel, kernel_speeds
    from pixelflow.system.errors import PixelflowError

    try:
        chosen = choose_kernel(device, dtype)
    except PixelflowError as error:
        return [str(error)]
    precision = str(dtype).removeprefix("torch.")
    available = available_kernels(device, dtype)
    spent = kernel_speeds(device, dtype) if sum(reason is None for reason in available.values()) > 1 else {}
    took = {name: f"{milliseconds:.2f} ms for a batch of four resolutions" for name, milliseconds in spent.items()}
    lines = [f"{device}, {precision}: {chosen}" + (f", {took[chosen]}" if chosen in took else "")]
    for name, reason in available.items():
        if name != chosen:
            lines.append(f"    not {name}: {reason or took.get(name, 'it fails here')}")
    return lines


def _plugins() -> list[str]:
    from pixelflow.core import plugins

    broken = {failure.plugin for failure in plugins.failures()}
    lines = [plugin.origin for plugin in plugins.third_party() if plugin.name not in broken]
    lines += [f"{failure.plugin} is broken: {failure.reason}" for failure in plugins.failures()]
    return lines or ["none installed"]
