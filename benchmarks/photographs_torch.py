"""The loop that a user of PyTorch writes for a folder of photographs: float32, PIL, transforms, loss.item().

Prints images a second of each epoch. The transforms do what torchvision's Resize(256), CenterCrop(224), ToTensor and
Normalize do with a PIL image; torchvision itself need not be installed. The network is Striate's module, untouched:
the same layers as torchvision's, in torch's default layout.
"""

import json
from argparse import ArgumentParser
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from train_torch import Normalize, ToTensor, epochs

from striate.models.registry import create_model


class Resize:
    """The shorter side becomes `side` pixels."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, image: Image.Image) -> Image.Image:
        w, h = image.size
        scale = self.side / min(w, h)
        return image.resize((round(w * scale), round(h * scale)), Image.Resampling.BILINEAR)


class CenterCrop:
    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top = (image.width - self.side) // 2, (image.height - self.side) // 2
        return image.crop((left, top, left + self.side, top + self.side))


class Photographs(Dataset):
    def __init__(self, folder: Path, transforms: list) -> None:
        classes = sorted(path for path in folder.iterdir() if path.is_dir())
        self.files = [(path, k) for k, each in enumerate(classes) for path in sorted(each.iterdir())]
        self.classes, self.transforms = len(classes), transforms

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.files[index]
        with Image.open(path) as file:
            image = file.convert("RGB")
        for transform in self.transforms:
            image = transform(image)
        return image, label


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    normalize = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    data = Photographs(options.folder / "train", [Resize(256), CenterCrop(224), ToTensor(), normalize])
    train = DataLoader(data, batch_size=options.batch, shuffle=True, num_workers=options.workers)
    torch.manual_seed(0)
    model = create_model(options.network, num_classes=data.classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    rates = epochs(model, train, optimizer, options.epochs)
    print(json.dumps({"images_per_s": rates, "parameters": sum(p.numel() for p in model.parameters())}))


if __name__ == "__main__":
    main()
