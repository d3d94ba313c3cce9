"""Shards at addresses, from a real server through the real WebDataset."""

from __future__ import annotations

import functools
import http.server
import itertools
import pickle
import threading
from collections.abc import Iterator

import pytest
import torch

from pixelflow.core.interfaces import Sample
from pixelflow.data.tar_shards import TarShards
from pixelflow.data.web_shards import WebShards
from pixelflow.system.errors import DataError, SpecError
from pixelflow.training.held_out import trained_on
from pixelflow.training.loader import batches
from tests.conftest import make_spec
from tests.data.tars import samples, write_tar

pytest.importorskip("webdataset")


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *told):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path) -> Iterator[http.server.HTTPServer]:
    """Serves four shards of six samples."""
    for index in range(4):
        write_tar(tmp_path / "served" / f"{index}.tar", samples(6, 6 * index))
    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def opened(server, tmp_path, **settings) -> WebShards:
    shards = f"http://127.0.0.1:{server.server_port}/{{0..3}}.tar"
    params = WebShards.Params(shards=shards, cache=tmp_path / "cache", **settings)
    return params.build(height=8, width=8, channels=3)


def test_samples_are_those_of_the_files(server, tmp_path):
    """Each shard is fetched once, also by another process that has the cache."""
    there = TarShards.Params(shards=str(tmp_path / "served" / "{0..3}.tar"), index=tmp_path / "index").build(
        height=8, width=8, channels=3
    )
    data = opened(server, tmp_path)
    assert (len(data), data.classes) == (24, there.classes)
    for own in (data, pickle.loads(pickle.dumps(opened(server, tmp_path)))):
        for index in range(24):
            found, expected = (one.sample(index, torch.Generator().manual_seed(1)) for one in (own, there))
            assert isinstance(found, Sample)
            assert torch.equal(found.image, expected.image)
            assert (found.label, found.caption) == (expected.label, expected.caption)
    assert sorted(server.asked) == ["/0.tar", "/1.tar", "/2.tar", "/3.tar"]


def test_what_was_removed_from_the_cache_is_fetched_again(server, tmp_path):
    opened(server, tmp_path)
    for file in (tmp_path / "cache" / "shards").glob("*.tar"):
        file.unlink()
    data = opened(server, tmp_path)
    assert len(server.asked) == 4, "the places of samples are kept"
    assert isinstance(data.sample(23, torch.Generator()), Sample)
    assert server.asked[4:] == ["/3.tar"]


def test_an_epoch_goes_through_windows_of_shards(server, tmp_path):
    data = opened(server, tmp_path, window=2)
    orders = [data.order(torch.Generator().manual_seed(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        assert sorted(order) == list(range(24))
        halves = [{index // 6 for index in half} for half in (order[:12], order[12:])]
        assert [len(half) for half in halves] == [2, 2]
        assert order[:12] != sorted(order[:12])


def test_what_is_left_of_them_goes_through_the_same_windows(server, tmp_path):
    """Where some images are held out: the order of all, without these."""
    data = opened(server, tmp_path, window=2)
    left = trained_on(data, make_spec("training.held_out={fraction: 0.25, every: 2}"))
    assert len(left) == 18
    order = left.order(torch.Generator().manual_seed(0)).tolist()
    assert sorted(order) == list(range(18))
    of_all = data.order(torch.Generator().manual_seed(0)).tolist()
    names = [left.sample(index, torch.Generator()).caption for index in order]
    assert names == [data.sample(index, torch.Generator()).caption for index in of_all if index in left._indices]
    assert len(set(names)) == 18


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_exactly(server, tmp_path, workers):
    data = opened(server, tmp_path, window=2)
    settings = {"batch_size": 5, "seed": 1, "workers": workers, "bad_images": 0}
    whole, later = (batches(data, first_step=first, **settings) for first in (0, 4))
    for one, other in zip(itertools.islice(whole, 4, 9), later, strict=False):
        assert torch.equal(*(each.groups[0].images(torch.device("cpu")) for each in (one, other)))
        assert one.values == other.values
    whole.close()
    later.close()


def test_what_cannot_be_fetched_is_named(server, tmp_path):
    (tmp_path / "served" / "2.tar").unlink()
    with pytest.raises(DataError, match=r"/2.tar: cannot be fetched \(.*\); see that") as caught:
        opened(server, tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "served" / "2.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(DataError, match="tar"):
        opened(server, tmp_path)


@pytest.mark.parametrize(
    "address", ["pipe:cat x.tar", "shards/{0..3}.tar", "http://host/a b.tar", "file:///etc/passwd"]
)
def test_what_is_no_address_is_refused(tmp_path, address):
    with pytest.raises(SpecError, match="must begin with one of http://"):
        make_spec(f"data={{type: web_shards, shards: '{address}', cache: {tmp_path}}}")
