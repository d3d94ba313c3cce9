"""Tiny encoders on disk, made once a session."""

from __future__ import annotations

import pytest

from tests.tiny_encoders import make_clip, make_sentence, make_t5


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory):
    return make_t5(tmp_path_factory.mktemp("encoders") / "t5")


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture(scope="session")
def sentence_folder(tmp_path_factory):
    return make_sentence(tmp_path_factory.mktemp("encoders") / "sentence")
