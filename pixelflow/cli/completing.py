"""What a shell offers after TAB: runs, specs, kinds and the names of components."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

RUNS = Path("runs")


def runs(incomplete: str) -> list[str]:
    """Runs in the default folder of all runs, and whatever folders the beginning of a path may lead to."""
    found = [str(path.parent) for path in sorted(RUNS.glob("*/spec.yaml"))]
    return _beginning(incomplete, [*found, *_paths(incomplete, lambda path: path.is_dir())])


def specs(incomplete: str) -> list[str]:
    """The shipped specs by name, and the YAML files here."""
    return _files(incomplete, are_sweeps=False)


def sweeps(incomplete: str) -> list[str]:
    """The shipped sweeps by name, and the YAML files here."""
    return _files(incomplete, are_sweeps=True)


def _files(incomplete: str, are_sweeps: bool) -> list[str]:
    from pixelflow.core import shipped

    files = _paths(incomplete, lambda path: path.is_dir() or path.suffix in (".yaml", ".yml"))
    names = [name for name, path in shipped.specs().items() if (path.parent.name == "sweeps") == are_sweeps]
    return _beginning(incomplete, [*files, *names])


def kinds(incomplete: str) -> list[str]:
    """Kinds of components."""
    return _beginning(incomplete, _components())


def components(kind: str) -> Callable[[str], list[str]]:
    """For an option that names a component of this kind."""

    def named(incomplete: str) -> list[str]:
        return _beginning(incomplete, _components().get(kind, ()))

    return named


def choices(names: Iterable[str]) -> Callable[[str], list[str]]:
    """For an argument that is one of these."""
    return lambda incomplete: _beginning(incomplete, names)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _paths(incomplete: str, is_wanted: Callable[[Path], bool]) -> list[str]:
    """Paths that begin so; of folders with the slash at which typing goes on."""
    parent, slash, _ = incomplete.rpartition("/")
    folder = Path(parent + slash).expanduser()
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    shown = [f"{parent}{slash}{path.name}{'/' * path.is_dir()}" for path in entries if is_wanted(path)]
    return [path for path in shown if not path.rpartition("/")[2].startswith(".")]


def _components() -> dict[str, list[str]]:
    """Kind -> names. They are remembered, as finding them imports torch, until pixelflow or a plugin changes."""
    from pixelflow.system import journal
    from pixelflow.system.cache import cache_folder
    from pixelflow.system.errors import PixelflowError
    from pixelflow.system.files import read_bytes, write_text

    key = _installed()
    file = cache_folder("completion") / "components.json"
    try:
        (line,) = journal.all_checked(read_bytes(file, 1 << 24).splitlines())
        remembered = json.loads(line.text)
        if line.is_sealed and line.is_sound and remembered["key"] == key:
            return {str(kind): [str(name) for name in names] for kind, names in remembered["kinds"].items()}
    except (PixelflowError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        pass
    found = _registered()
    write_text(file, journal.sealed({"key": key, "kinds": found}, journal.Position()).text)
    return found


def _installed() -> list[str]:
    """What decides on the components: this version, and the plugins' with the state of their files."""
    from importlib import metadata

    from pixelflow.core.plugin_source import state_of
    from pixelflow.core.version import __version__

    plugins = metadata.entry_points(group="pixelflow")
    states = {
        f"{entry.name} {entry.dist.name} {entry.dist.version} {state_of(entry.dist)}" for entry in plugins if entry.dist
    }
    return [__version__, *sorted(states)]


def _registered() -> dict[str, list[str]]:
    from pixelflow.core import plugins
    from pixelflow.core.registry import registry

    plugins.load()
    return {kind: list(registry.of_kind(kind)) for kind in registry.kinds()}
