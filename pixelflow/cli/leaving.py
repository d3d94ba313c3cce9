"""The end of a process: threads that plugins or process groups of torch left behind neither keep nor spoil it."""

from __future__ import annotations

import atexit
import os
import signal
import threading

from pixelflow.system import terminal

_PATIENCE = 5.0
"""Seconds that such threads have to come to an end."""


def leave(code: int) -> None:
    """End the process with this exit code, or return to whoever ends it so.

    One of several that computed together ends without the interpreter's own end: the threads of process groups live as
    long as the process (see `distributed.joined`), and what they still do while interpreter and libraries are taken
    apart can abort. Ctrl-C then ends the process at once: all is done, and what runs at the end knows no interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    leave_within_seconds(code)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        atexit._run_exitfuncs()
        terminal.flush()
        os._exit(code)


def leave_within_seconds(code: int) -> None:
    """End the process with this exit code some seconds from now, unless it has ended by then.

    Python waits at its end for every thread that is no daemon, however long that lasts.
    """
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    if others != [threading.main_thread()]:
        last = threading.Timer(_PATIENCE, _leave, [code])
        last.daemon = True
        last.start()


def _leave(code: int) -> None:
    from pixelflow.core.plugin_watch import started

    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            whose = f" of plugin {started[thread]}" if thread in started else ""
            terminal.say(f"pixelflow: left without the thread {thread.name!r}{whose}")
    terminal.flush()
    os._exit(code)
