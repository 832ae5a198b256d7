"""The training loop that a user of PyTorch writes: float32, a data set of PIL images with transforms, loss.item().

Prints images a second of each epoch, and the accuracy at the end. The transforms do what torchvision's Pad, ToTensor
and Normalize do with a PIL image, operation by operation; torchvision itself need not be installed.
"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path

import mnist
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset


def lenet5() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Tanh(),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Tanh(),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def deck_mnist_convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


NETWORKS = {"lenet5": (lenet5, 2), "deck_mnist_convnet": (deck_mnist_convnet, 0)}  # and pixels of padding on each side


class Pad:
    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, image: Image.Image) -> Image.Image:
        return ImageOps.expand(image, border=self.pixels, fill=0)


class ToTensor:
    def __call__(self, image: Image.Image) -> torch.Tensor:
        array = torch.from_numpy(np.array(image, np.uint8, copy=True))
        pixels = array.view(image.height, image.width, len(image.getbands())).permute(2, 0, 1).contiguous()
        return pixels.to(torch.get_default_dtype()).div(255)


class Normalize:
    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean, self.std = mean, std

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        mean = torch.as_tensor(self.mean, dtype=image.dtype).view(-1, 1, 1)
        std = torch.as_tensor(self.std, dtype=image.dtype).view(-1, 1, 1)
        return image.clone().sub_(mean).div_(std)


class Digits(Dataset):
    """One image an item, as a PIL image through the transforms."""

    def __init__(self, folder: Path, role: str, transforms: list) -> None:
        images, labels = mnist.read(folder, role)
        self.images, self.labels = torch.from_numpy(images.copy()), torch.from_numpy(labels.copy())
        self.transforms = transforms

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = Image.fromarray(self.images[index].numpy()), int(self.labels[index])
        for transform in self.transforms:
            image = transform(image)
        return image, label


def epochs(model: nn.Module, train: DataLoader, optimizer: torch.optim.Optimizer, n: int) -> list[float]:
    """Images a second of each of n epochs."""
    criterion = nn.CrossEntropyLoss()
    rates = []
    for _ in range(n):
        model.train()
        begun, total = time.perf_counter(), 0.0
        for images, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        rates.append(len(train.dataset) / (time.perf_counter() - begun))
    return rates


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    build, padding = NETWORKS[options.network]
    transforms = ([Pad(padding)] if padding else []) + [ToTensor(), Normalize((0.1307,), (0.3081,))]
    torch.manual_seed(0)

    train = DataLoader(
        Digits(options.data_dir, "train", transforms),
        batch_size=options.batch, shuffle=True, num_workers=options.workers,
    )  # fmt: skip
    test = DataLoader(Digits(options.data_dir, "test", transforms), batch_size=1000, num_workers=options.workers)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

    rates = epochs(model, train, optimizer, options.epochs)

    model.eval()
    with torch.no_grad():
        right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in test)
    shapes = [list(p.shape) for p in model.parameters()]
    print(json.dumps({"images_per_s": rates, "accuracy": right / len(test.dataset), "parameters": shapes}))


if __name__ == "__main__":
    main()
