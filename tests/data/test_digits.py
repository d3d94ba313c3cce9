"""The digits are scikit-learn's, read without importing it."""

import sys

import torch
from sklearn.datasets import load_digits

from pixelflow.data.digits import Digits


def test_they_are_scikit_learns(monkeypatch):
    expected = load_digits()
    for module in [name for name in sys.modules if name.startswith("sklearn.")]:
        monkeypatch.setitem(sys.modules, module, None)  # importing any part of it fails
    digits = Digits.Params().build(height=8, width=8, channels=1)
    generator = torch.Generator()
    read = [digits.sample(index, generator) for index in range(len(digits))]
    assert len(read) == len(expected.target)
    assert torch.equal(torch.cat([sample.image for sample in read]), torch.from_numpy(expected.images).float() / 8 - 1)
    assert [sample.label for sample in read] == expected.target.tolist()
