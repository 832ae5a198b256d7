"""Shards that lie elsewhere: fetched once an epoch, a few kept, the same images as from a disk."""

import functools
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import keyed
from striate.data.screen import screen
from striate.data.shards.images import ShardImages
from striate.data.shards.packing import pack
from striate.data.sources import open_dataset
from striate.errors import DatasetError, MissingExtra, Offline
from tests.data.shards.packs import folder

with_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="webdataset fetches with curl, which is not installed"
)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_an_epoch_has_every_image_once_and_returns_to_no_shard(
    shards: int, each: int, together: int, epoch: int
) -> None:
    blocks = np.repeat(np.arange(shards), each)
    order = keyed.order_in_blocks(7, epoch, blocks, together)
    assert sorted(order.tolist()) == list(range(shards * each))
    seen = blocks[order].reshape(-1)
    groups = [set(seen[i : i + together * each].tolist()) for i in range(0, len(seen), together * each)]
    assert all(len(group) <= together for group in groups)
    assert sum(map(len, groups)) == shards


def test_the_order_depends_on_seed_and_epoch_and_mixes_shards() -> None:
    blocks = np.repeat(np.arange(8), 50)
    orders = {(s, e): keyed.order_in_blocks(s, e, blocks, 4).tolist() for s in (0, 1) for e in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    first = blocks[orders[0, 0]][:50]
    assert len(set(first.tolist())) == 4


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(MissingExtra, match=r"striate\[shards\]"):
        open_dataset("https://127.0.0.1:1/a.tar", download=True)


class Server:
    """Serves a folder on this machine, and counts what was asked for."""

    def __init__(self, root: Path) -> None:
        self.asked: list[str] = []
        self.root, asked = root, self.asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"

    def tars(self) -> int:
        """Shards that were asked for since the last question."""
        n = sum(path.endswith(".tar") for path in self.asked)
        self.asked.clear()
        return n


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("webdataset", reason="the extra shards is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_SHARDS_GB", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    pack(str(folder(tmp_path / "insects", each=20)), tmp_path / "sh", size=5000)
    made = Server(tmp_path / "sh")
    yield made
    made.http.shutdown()
    made.http.server_close()


def pattern(server: Server) -> str:
    return f"{server.address}/shard-{{00000..{len(list(server.root.glob('*.tar'))) - 1:05}}}.tar"


@pytest.mark.oracle
@with_curl
def test_what_is_fetched_is_what_lies_on_the_disk(server: Server) -> None:
    here, there = open_dataset(str(server.root)), open_dataset(pattern(server), download=True)
    for role, split in here.splits.items():
        other = there.split(role)
        number = {key: i for i, key in enumerate(other.keys)}
        assert set(number) == set(split.keys)
        for i, key in enumerate(split.keys):
            assert other.labels[number[key]] == split.labels[i]
            assert other.images.digest(number[key]) == split.images.digest(i)
    assert server.tars() == len(list(server.root.glob("*.tar")))  # each was fetched once, and kept


@pytest.mark.oracle
@with_curl
def test_an_epoch_fetches_each_shard_once_though_few_are_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch  # noqa: F401 (before threads are counted)

    from striate.data.loader import Loader
    from striate.data.preprocess import Preprocess

    shards = len(list(server.root.glob("*.tar")))
    largest = max(path.stat().st_size for path in server.root.glob("*.tar"))
    monkeypatch.setenv("STRIATE_SHARDS_GB", str(6 * largest / 1e9))
    dataset = screen(open_dataset(pattern(server), download=True, val_share=0, test_share=0)).dataset
    assert shards > 8
    train = dataset.split("train")
    assert isinstance(train.images, ShardImages)
    preprocess = Preprocess(size=(8, 8))
    made = {}
    for workers in (0, 2):
        loader = Loader(train, preprocess, classes=2, batch=7, workers=workers, keep=0)
        server.tars()
        made[workers] = [batch.images for epoch in (1, 2) for batch in loader.epoch(epoch)]
        assert workers or server.tars() <= 2 * shards
    assert all(one.equal(other) for one, other in zip(made[0], made[2], strict=True))
    kept = list((tmp_path / "cache" / "striate" / "shards").glob("*.tar"))
    assert sum(path.stat().st_size for path in kept) <= 6 * largest


@pytest.mark.oracle
@with_curl
def test_what_can_not_be_fetched_or_is_damaged_on_the_way_is_named(server: Server) -> None:
    with pytest.raises(DatasetError, match=r"shard-00099\.tar is not listed"):
        open_dataset(f"{server.address}/shard-00099.tar", download=True)
    first = server.root / "shard-00000.tar"
    data = bytearray(first.read_bytes())
    data[600] ^= 1
    first.write_bytes(data)
    with pytest.raises(DatasetError, match=r"shard-00000\.tar: .* not those of shards\.json"):
        open_dataset(f"{server.address}/shard-00000.tar", download=True)
    (server.root / "shards.json").unlink()
    first.unlink()
    with pytest.raises(Offline, match=r"shard-00000\.tar could not be fetched \(curl ended with exit code 22\)"):
        open_dataset(f"{server.address}/shard-00000.tar", download=True)
