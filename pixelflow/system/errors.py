"""Errors that are the user's to mend: one line of cause and cure, and an exit code of their own.

The codes follow sysexits.h where it has a fitting one, so that schedulers and scripts can tell causes apart.
"""

from __future__ import annotations

from pixelflow.system.printing import printable


class PixelflowError(Exception):
    """Base of every error that is reported as one line; anything else is a bug and exits with 1.

    Args:
        lines: one a problem; a line break within one, from a name or from data, is written out.
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """What went wrong, fit for a terminal."""
        return tuple(printable(str(line)) for line in self.args)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UsageError(PixelflowError):
    """A command was called in a way that cannot work."""

    exit_code = 2


class DataError(PixelflowError):
    """The data are there but unusable: unreadable images, an empty folder, a corrupt checkpoint."""

    exit_code = 65


class MissingInputError(PixelflowError):
    """A file or folder that was named does not exist."""

    exit_code = 66


class MissingDependencyError(PixelflowError):
    """An optional package or a model's weights are needed and not there."""

    exit_code = 69


class FailedTasksError(PixelflowError):
    """Some parts of a sweep failed, each with its log; all others are done."""

    exit_code = 70


class OutOfMemoryError(PixelflowError):
    """What the machine has does not suffice for what was asked: memory, its GPU's too, open files, processes."""

    exit_code = 71


class CannotWriteError(PixelflowError):
    """The target cannot be written: disk full, no permission, a file where a folder should be."""

    exit_code = 73


class LostPeerError(PixelflowError):
    """A process of those that train together did not come or is gone; the same command continues from the disk."""

    exit_code = 74


class PreemptedError(PixelflowError):
    """The run was asked to stop (SIGTERM), saved its state and can be continued by the same command."""

    exit_code = 75


class NonFiniteError(PixelflowError):
    """The loss or a gradient became NaN or infinite; the state was not touched by it."""

    exit_code = 76


class StoppedError(PixelflowError):
    """Raised by what watches a generation (``on_step``) to end it; whoever draws adds what was finished by then."""

    exit_code = 130

    result: object = None
    """The `pixelflow.generation.run.Result` of the batches that were finished; None if none was."""


class SpecError(PixelflowError):
    """A spec that does not validate; the message holds one line for every problem."""

    exit_code = 78


def first_line(error: Exception) -> str:
    """What another package's error says, in one line; parsers of hostile files raise anything."""
    return printable(next(iter(str(error).splitlines()), "") or type(error).__name__)


_LONGEST = 300


def one_line(error: BaseException) -> str:
    """What others' code raised, as one line of at most 300 letters: its type and message."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "its message cannot be shown"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
