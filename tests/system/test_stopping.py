"""Signals that ask to stop."""

from __future__ import annotations

import os
import signal

import pytest

from pixelflow.system.stopping import Stop, StopSignals, unbroken


def test_what_must_not_be_broken_off_is_done_and_the_signal_answered_behind_it():
    done = []

    def forks() -> None:
        with StopSignals() as signals, signals.interruptible():
            with unbroken():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("forked")
            done.append("went on")

    with pytest.raises(Stop):
        forks()
    assert done == ["forked"]


def test_behind_it_a_signal_raises_at_once():
    def waits() -> None:
        with StopSignals() as signals, signals.interruptible():
            with unbroken():
                pass
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("went on")

    with pytest.raises(Stop):
        waits()


def test_where_nothing_is_interruptible_nothing_is_raised():
    with StopSignals() as signals:
        with unbroken():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    with unbroken():
        assert StopSignals.current is None
