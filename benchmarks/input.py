"""Input, images a second: files to normalised batches, and small images that are in memory; without a network.

The other side is what a user of PyTorch writes with torchvision: a Dataset of PIL images, one item at a time, in a
DataLoader. Its transforms are written out here, operation by operation; torchvision need not be installed.
"""

import itertools
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import ROOT, Table, arguments, data_folder, middle, place, ratios, report, take_turns
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from train_torch import Digits, Normalize, ToTensor

from striate.data.dataset import FileImages, Split
from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.data.sources import open_dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Photographs(Dataset):
    """Resize(256), CenterCrop(224), ToTensor, Normalize."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.to_tensor, self.normalise = paths, ToTensor(), Normalize(MEAN, STD)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with self.paths[index].open("rb") as file:
            image = Image.open(file).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
        return self.normalise(self.to_tensor(image.crop((left, top, left + 224, top + 224)))), 0


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=5)
    parser.add_argument(
        "--images", type=Path, help="folder of photographs (default: the shared samples, else made-up ones)"
    )
    parser.add_argument("--most", type=int, default=400, help="photographs to use (default %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="folder that holds mnist/")
    options = parser.parse_args()
    where = place("torch", "numpy", "pillow", "striate")
    with tempfile.TemporaryDirectory() as scratch:
        paths, kind = photographs(options.images, options.most, Path(scratch))
        files = take_turns(of_files(paths), options.rounds)
        difference = apart(paths[:20])
    heading = f"{len(paths)} {kind} to 224 px, normalised; pixels at most {difference:.0f} of 255 apart"
    tables, measured = [table(heading, files, "PIL and DataLoader")], {"files": files, "difference": difference}
    folder = mnist_folder(options.data_dir)
    if folder:
        small = take_turns(of_digits(folder), options.rounds)
        tables.append(table("60,000 digits of 28x28 in memory, shuffled batches of 128", small, "PIL and DataLoader"))
        measured["digits"] = small
    report(options, where, tables, measured)


def of_files(paths: list[Path]) -> dict:
    torch.set_num_threads(1)
    split = Split(FileImages(tuple(paths)), np.zeros(len(paths), np.int64), tuple(map(str, paths)))
    preprocess = Preprocess(size=(224, 224), short_side=256, mean=MEAN, std=STD)

    def striate(workers: int):
        return lambda: rate(
            Loader(split, preprocess, classes=1, batch=32, workers=workers, keep=0).in_order(), lambda b: len(b.labels)
        )

    def pytorch(workers: int):
        return lambda: rate(DataLoader(Photographs(paths), batch_size=32, num_workers=workers), lambda b: len(b[1]))

    return {
        "PIL and DataLoader": pytorch(0), "PIL and DataLoader, 2 processes": pytorch(2),
        "Striate": striate(0), "Striate, 2 threads": striate(2),
    }  # fmt: skip


def of_digits(folder: Path) -> dict:
    transforms = [ToTensor(), Normalize((0.1307,), (0.3081,))]
    train = open_dataset("mnist", data_dir=folder, val_share=0.0).split("train")
    preprocess = Preprocess(size=(28, 28), order="gray", mean=(0.1307,), std=(0.3081,))
    loader = Loader(train, preprocess, classes=10, batch=128)
    epochs = itertools.count()

    def pytorch() -> float:
        whole = DataLoader(Digits(folder, "train", transforms), batch_size=128, shuffle=True)
        return rate(itertools.islice(whole, 100), lambda b: len(b[1]))

    return {"PIL and DataLoader": pytorch, "Striate": lambda: rate(loader.epoch(next(epochs)), lambda b: len(b.labels))}


def rate(batches, count) -> float:
    begun = time.perf_counter()
    images = sum(count(batch) for batch in batches)
    return images / (time.perf_counter() - begun)


def apart(paths: list[Path]) -> float:
    """How far a pixel of the two ways is apart at most, in levels of 0..255."""
    preprocess = Preprocess(size=(224, 224), short_side=256, mean=MEAN, std=STD)
    mine = preprocess([FileImages((path,)).read(0) for path in paths])
    theirs = torch.stack([Photographs(paths)[i][0] for i in range(len(paths))])
    return float(((mine - theirs).abs() * torch.tensor(STD).view(1, 3, 1, 1)).max() * 255)


def photographs(given: Path | None, most: int, scratch: Path) -> tuple[list[Path], str]:
    shared = Path(os.environ.get("STRIATE_SHARED", ROOT.parent / "shared")) / "data" / "imagenet_samples" / "images"
    folder = given or shared
    if folder.is_dir():
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})[:most]
        if found:
            return found, "photographs (JPEG)"
    random = np.random.default_rng(0)
    for i in range(min(most, 100)):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC))
        grained = (smooth + random.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(grained).save(scratch / f"{i:03}.jpg", quality=90)
    return sorted(scratch.glob("*.jpg")), "made-up pictures of 500x375 (JPEG)"


def mnist_folder(given: Path | None) -> Path | None:
    try:
        return data_folder(given, "mnist")
    except SystemExit as missing:
        print(f"left out: {missing}")
        return None


def table(heading: str, rates: dict[str, list[float]], against: str) -> Table:
    best = [max(values) for values in zip(*(v for k, v in rates.items() if k.startswith(against)), strict=True)]
    rows = []
    for name, values in rates.items():
        gain = ratios(values, best)
        rows.append([name, f"{middle(values):,.0f}", f"{middle(gain):.2f}", f"{min(gain):.2f} to {max(gain):.2f}"])
    return Table(heading, ["", "images/s", "x best of PIL", "rounds"], rows)


if __name__ == "__main__":
    main()
