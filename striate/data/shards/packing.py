"""From what was typed to shards of it."""

from pathlib import Path

from striate.data.download import Progress as Fetching
from striate.data.shards.index import Index
from striate.data.shards.writing import Part, Progress, all_classes, parts_of, write_shards
from striate.data.sources import NAMES, fetch_named, look, open_dataset


def pack(
    source: str,
    out: Path,
    *,
    size: int,
    data_dir: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
    fetching: Fetching | None = None,
) -> Index:
    """Write the images of a data set, folder, list or of other shards as shards of about `size` bytes.

    Roles stay what they are: images that nobody divided stay undivided.

    Raises: as `open_dataset`, for a name; as `look`, for anything else; and as `write_shards`.
    """
    if source not in NAMES:
        listing = look(source, download=download)
        return write_shards(parts_of(listing), all_classes(listing), out, size=size, progress=progress)
    if download and source != "digits":
        fetch_named(source, data_dir, progress=fetching)
    dataset = open_dataset(source, data_dir=data_dir, val_share=0.0)
    parts = {role: Part(split.images, split.labels, split.keys) for role, split in dataset.splits.items()}
    return write_shards(parts, dataset.classes, out, size=size, progress=progress)
