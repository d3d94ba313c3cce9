"""Runs of the tiny spec, as for the tests of training."""

from tests.training.conftest import trained

__all__ = ["trained"]
