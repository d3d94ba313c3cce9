"""The upsampler keeps the contracts of its kind, reproduces cubics, and is found once it is installed."""

import torch
from pixelflow_fourpoint.dual import DualFourPoint

from pixelflow import contracts
from pixelflow.core import plugins
from pixelflow.core.registry import registry


def test_keeps_its_contract():
    for outcome in contracts.check(DualFourPoint.Params()):
        assert outcome.status == "kept", f"{outcome.promise} {outcome.reason}"


def test_reproduces_cubics():
    coarse, fine = torch.arange(8.0, dtype=torch.float64), torch.arange(16.0, dtype=torch.float64) / 2 - 0.25
    doubled = DualFourPoint.Params().build()((coarse**3 - 4 * coarse).expand(1, 1, 8, 8))
    torch.testing.assert_close(doubled[0, 0, 8, 4:-4], (fine**3 - 4 * fine)[4:-4])


def test_is_found_by_its_name():
    assert [failure.reason for failure in plugins.failures() if failure.plugin == "fourpoint"] == []
    assert registry.of_kind("upsampler")["fourpoint.dual"].cls is DualFourPoint
