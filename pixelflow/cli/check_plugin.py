"""``pixelflow check-plugin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.system.errors import DataError, MissingDependencyError, MissingInputError, SpecError, UsageError
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pixelflow.cli.plugin_commands import PluginCommand
    from pixelflow.contracts import Outcome
    from pixelflow.core.component import ComponentParams
    from pixelflow.core.registry import Registration


def check_plugin(
    name: Annotated[str, typer.Argument(help="An installed plugin, as pixelflow components names it.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME.SETTING=VALUE]...", help="Settings, such as acme.folder.root=/pictures."),
    ] = None,
) -> None:
    """Run the contract checks on a plugin: shapes, gradients, orders, exactness of components; its kinds and commands.

    Exit code 65 tells that a promise is broken, or that the plugin does not load.
    """
    from pixelflow.contracts import check

    given = dict(_split(assignment) for assignment in settings or ())
    components = _components(name)
    _refuse_strangers(given, [component for _, component, _ in components])
    broken_kinds = _broken_kinds(name)
    broken = sum(broken_kinds.values())
    for kind, component, entry in components:
        outcomes = [_prefixed(name, component)]
        if not broken_kinds.get(kind):  # else its checks may lead nowhere
            outcomes += check(_params(component, entry, given))
        broken += _told(f"{kind} {component}", outcomes)
    broken += _broken_commands(name)
    if broken:
        raise DataError(f"{name} breaks {broken} promise{'s' * (broken > 1)} of its kind")


def _prefixed(plugin: str, component: str) -> Outcome:
    from pixelflow.contracts import Outcome

    promise = "Its name begins with the plugin's and a dot, so that it never meets a later built-in."
    if component.startswith(f"{plugin}.") and component != f"{plugin}.":
        return Outcome(promise, "kept")
    return Outcome(promise, "broken", f"{component!r} should be {plugin + '.' + component.rpartition('.')[2]!r}")


def _told(what: str, outcomes: Sequence[Outcome]) -> int:
    """Tell of each promise of something; the number of broken ones."""
    tell(what, *(f"  {_line(outcome)}" for outcome in outcomes))
    return sum(outcome.status == "broken" for outcome in outcomes)


def _broken_kinds(plugin: str) -> dict[str, int]:
    """Tell of each promise of the kinds that the plugin brings; kind -> the number of broken ones."""
    from pixelflow.contracts.added_kinds import CHECKS
    from pixelflow.contracts.checking import run
    from pixelflow.core import kinds, plugins

    origin = next(known.origin for known in plugins.third_party() if known.name == plugin)
    return {
        row.name: _told(f"kind {row.name}", [_prefixed(plugin, row.name), *(run(check, row) for check in CHECKS)])
        for row in kinds.of_plugin(origin)
    }


def _broken_commands(plugin: str) -> int:
    """Tell of each promise of the commands that the plugin's distribution brings; the number of broken ones."""
    from pixelflow.cli import app, plugin_commands
    from pixelflow.core import plugins

    distribution = next(known.distribution for known in plugins.third_party() if known.name == plugin)
    broken = 0
    for command in plugin_commands.found(app.BUILT_IN):
        if command.distribution == distribution:
            broken += _told(f"command {command.name}", list(_promises_of(plugin, command)))
    return broken


def _promises_of(plugin: str, command: PluginCommand) -> Iterator[Outcome]:
    from pixelflow.contracts import Outcome

    def outcome(promise: str, reason: str) -> Outcome:
        return Outcome(promise, "broken" if reason else "kept", reason)

    is_own = command.name == plugin or command.name.startswith(f"{plugin}-")
    stranger = "" if is_own else f"{command.name!r} should be {plugin!r} or '{plugin}-{command.name}'"
    yield outcome("Its name is the plugin's, or begins with it and a dash.", stranger)
    yield outcome("It can be called by its name.", command.refused)
    try:
        explained = (command.function().__doc__ or "").strip()
    except MissingDependencyError as error:
        yield outcome("It is imported, and typer takes it for a command.", str(error))
        return
    yield outcome("It is imported, and typer takes it for a command.", "")
    yield outcome("It says what it does.", "" if explained else "the function has no docstring")


def _line(outcome: Outcome) -> str:
    return f"{outcome.status:12}{outcome.promise}" + (f"  {outcome.reason}" if outcome.reason else "")


def _components(plugin: str) -> Sequence[tuple[str, str, Registration]]:
    """What the plugin registered.

    Raises:
        MissingInputError: no such plugin is installed.
        DataError: the plugin, or a part of it, does not load.
    """
    from pixelflow.core import plugins
    from pixelflow.core.registry import registry

    found = [known for known in plugins.third_party() if known.name == plugin]
    if not found:
        known = ", ".join(sorted(other.name for other in plugins.third_party())) or "none"
        raise MissingInputError(f"no plugin is called {plugin!r} (installed: {known}); install it with pip first")
    reasons = [failure.reason for failure in plugins.failures() if failure.plugin == plugin]
    if reasons:
        raise DataError(*(f"plugin {plugin}: {reason}" for reason in reasons))
    return [each for each in registry if each[2].origin == found[0].origin]


def _split(assignment: str) -> tuple[str, str]:
    key, equals, value = assignment.partition("=")
    if not equals or "." not in key:
        raise UsageError(f"{assignment!r}: write it as NAME.SETTING=VALUE, such as acme.folder.root=/pictures")
    return key, value


def _refuse_strangers(given: dict[str, str], components: Sequence[str]) -> None:
    for key in given:
        if key.rpartition(".")[0] not in components:
            raise UsageError(f"{key}: the plugin has no such component (there are: {', '.join(components)})")


def _params(component: str, entry: Registration, given: dict[str, str]) -> ComponentParams:
    """The component's default settings, with those given; raises SpecError where they do not validate."""
    from pixelflow.core import reading

    mine = [f"{key.rpartition('.')[2]}={value}" for key, value in given.items() if key.rpartition(".")[0] == component]
    document = reading.override(reading.parse(f"type: {component}", component), mine)
    try:
        return reading.validate(entry.cls.Params, document)
    except SpecError as error:
        raise SpecError(*error.lines, f"settings are given as  {component}.SETTING=VALUE") from None
