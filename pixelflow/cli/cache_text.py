"""``pixelflow cache-text``."""

from __future__ import annotations

from pixelflow.cli.arguments import Device, Overrides, SpecFile, read_spec
from pixelflow.system.terminal import say, tell


def cache_text(
    spec: SpecFile,
    overrides: Overrides = None,
    device: Device = None,
) -> None:
    """Encode every caption of a spec's data once, so that training need not load its frozen text encoders.

    The captions go to the folders that the conditioners' 'cache' names; the same command again goes on.

    On several GPUs:  torchrun --nproc-per-node 8 -m pixelflow -- cache-text SPEC
    """
    from pixelflow.system.distributed import joined
    from pixelflow.training.caching import cache_text as fill

    wanted = read_spec(spec, overrides)
    with joined(device) as parallel:
        for done in fill(wanted, parallel, say):
            tell(done.summary)
