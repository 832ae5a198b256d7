"""A data set and networks so small that a whole training takes a fraction of a second."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.blocks.wiring import Chain
from striate.models import registry
from striate.models.registry import Entry, register
from tests.training.runs import go


def with_norm(num_classes: int, in_chans: int) -> Chain:
    """Batch norm and dropout: what a resume can get wrong."""
    return Chain(
        conv=nn.Conv2d(in_chans, 4, 3, bias=False), bn=nn.BatchNorm2d(4), relu=nn.ReLU(), conv2=nn.Conv2d(4, 6, 1),
        relu2=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(3), flatten=nn.Flatten(), drop=nn.Dropout(0.3),
        fc=nn.Linear(54, num_classes),
    )  # fmt: skip


def plain(num_classes: int, in_chans: int) -> Chain:
    """Neither: each image goes through it by itself."""
    return Chain(
        conv=nn.Conv2d(in_chans, 4, 3), relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(3), flatten=nn.Flatten(),
        fc=nn.Linear(36, num_classes),
    )  # fmt: skip


NETS = [("test_norm", with_norm, 3), ("test_plain", plain, 3), ("test_sigmoid", with_norm, 1)]


@pytest.fixture(scope="session", autouse=True)
def small_networks() -> Iterator[None]:
    """Three networks in the registry, for the tests of this folder only."""
    registry.list_models()
    for name, build, classes in NETS:
        register(
            Entry(name, build, year=2026, paper="none", about="For the tests.", input=(1, 12, 12), classes=classes,
                  head="fc", stem="conv", look="relu", smallest=5)
        )  # fmt: skip
    yield
    for name, _, _ in NETS:
        del registry._entries[name], registry._names[name]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_images(root: Path, classes: int = 3, train: int = 25, val: int = 7) -> Path:
    """Noise with a bright band at a height that tells the class; the last class is the rarest."""
    rng = np.random.default_rng(classes)
    for role, n in (("train", train), ("val", val)):
        for i in range(n):
            k = i % classes
            image = rng.integers(0, 130, (12, 12), dtype=np.uint8)
            image[4 * k : 4 * k + 4] += 100
            path = root / role / ("ant", "bee", "cat")[k] / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 and 7 images of three classes: with batches of four, the last one would hold a single image."""
    return write_images(tmp_path_factory.mktemp("images") / "bands")


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "two", classes=2)


@pytest.fixture(scope="session")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped. Not to be written to."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    go(images, out)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copied"))


@pytest.fixture
def mine(images: Path, tmp_path: Path) -> Path:
    """A copy of the images that may be harmed."""
    return Path(shutil.copytree(images, tmp_path / "mine"))
