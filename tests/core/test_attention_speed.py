"""The choice of an attention kernel: the fastest by a measurement that is made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelflow.core import attention, attention_speed
from pixelflow.core.attention import grouped_attention

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_tokens(monkeypatch):
    """Ten times the work is longer with few tokens too."""
    monkeypatch.setattr(attention_speed, "_LENGTHS", (*[16] * 4, *[64] * 4))


def often(q, k, v, layout):
    """The same, and as long as ten of it."""
    for _ in range(9):
        grouped_attention(q, k, v, layout)
    return grouped_attention(q, k, v, layout)


def broken(q, k, v, layout):
    raise RuntimeError("no such instruction")


def test_the_fastest_is_found_kept_and_not_measured_again(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path))
    kernels = {"often": often, "grouped": grouped_attention, "broken": broken}
    found = attention_speed.measured(kernels, CPU, torch.float32, 64)
    assert set(found) == {"often", "grouped"}
    assert found["grouped"] < found["often"]
    (file,) = Path(tmp_path, "attention").iterdir()
    attention_speed._KEPT.write(file, {"milliseconds": {"often": 1.0, "grouped": 2.0}})
    assert attention_speed.measured(kernels, CPU, torch.float32, 64) == {"often": 1.0, "grouped": 2.0}
    file.write_text("{damaged")
    assert set(attention_speed.measured(kernels, CPU, torch.float32, 64)) == {"often", "grouped"}
    assert "it is measured anew" in caplog.text


def test_the_choice_follows_the_measurement(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path))
    monkeypatch.setitem(attention.KERNELS, "varlen", often)
    monkeypatch.setattr(attention, "available_kernels", lambda device, dtype: {"varlen": None, "grouped": None})
    assert attention.choose_kernel("cpu", torch.float32) == "grouped"


def test_a_batch_of_one_resolution_takes_no_kernel_for_packed_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXELFLOW_CACHE", str(tmp_path))
    monkeypatch.setitem(attention.KERNELS, "cudnn", often)
    names = dict.fromkeys(("varlen", "grouped", "cudnn"))
    monkeypatch.setitem(attention.KERNELS, "varlen", grouped_attention)
    monkeypatch.setattr(attention, "available_kernels", lambda device, dtype: names)
    monkeypatch.setattr(attention, "kernel_speeds", lambda *given: {"varlen": 1.0, "cudnn": 2.0, "grouped": 3.0})
    assert attention.choose_kernel("cpu", torch.float32) == "varlen"
    assert attention.choose_kernel("cpu", torch.float32, is_uniform=True) == "cudnn"
    monkeypatch.setenv(attention.BACKEND_VARIABLE, "varlen")
    assert attention.choose_kernel("cpu", torch.float32, is_uniform=True) == "grouped"


def test_compiled_blocks_get_the_name_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(attention, "_chosen", lambda device, *given: asked.append(device) or "grouped")

    def called(x):
        return x + (1 if attention._kernel("cpu", torch.float32, 64, False) == "grouped" else 0)

    attention.mark_for_compiling()
    compiled = torch.compile(called, backend="eager", fullgraph=True)
    assert torch.equal(compiled(torch.zeros(2)), torch.ones(2))
    assert asked == ["cpu"]
