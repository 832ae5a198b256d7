"""`striate look augment`: what an augmentation does to your own images."""

from pathlib import Path
from typing import Annotated

import typer


def look_augment(
    data: Annotated[str, typer.Argument(help="Name of a data set, folder, or manifest (.csv, .jsonl).")],
    augment: Annotated[str, typer.Argument(help="The operations, e.g. 'rotation:40 shift:0.2 zoom:0.2 hflip'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture that is written.")] = Path("augment.png"),
    images: Annotated[int, typer.Option(min=1, max=50, help="Images to show, of all classes in turn.")] = 4,
    epochs: Annotated[int, typer.Option(min=1, max=20, help="Epochs to show of each.")] = 6,
    size: Annotated[
        int | None, typer.Option(min=8, max=1024, help="Pixels a side; by default the images' own, or 224.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the run that is looked ahead to.")] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="Where named data sets lie.", envvar="STRIATE_DATA")] = None,
) -> None:
    """Draw some training images as they are, and as the next epochs will see them."""
    from striate.data.augment import Augment

    wanted = Augment.parse(augment)  # before anything is opened: most mistakes are made here
    from striate import durable
    from striate.data.sources import open_dataset
    from striate.look.augment import augment_sheet, draw_augment_sheet, plain_preprocess
    from striate.look.png import figure_png

    dataset = open_dataset(data, data_dir=data_dir)
    train = dataset.split("train")
    preprocess = plain_preprocess(train, dataset.channels, size)
    sheet = augment_sheet(train, dataset.classes, wanted, preprocess, images=images, epochs=epochs, seed=seed)
    durable.write_bytes(out, figure_png(draw_augment_sheet(sheet), 150))
    typer.echo(f"{out}: {wanted.describe()}")
