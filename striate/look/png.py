"""Pictures as the bytes of a PNG file, with nothing in them that changes from run to run."""

import io

from matplotlib.figure import Figure
from PIL import Image


def figure_png(figure: Figure, dpi: int = 140) -> bytes:
    """A figure of matplotlib, on its own ground."""
    stored = io.BytesIO()
    figure.savefig(stored, dpi=dpi, format="png", metadata={"Software": None}, facecolor=figure.get_facecolor())
    return stored.getvalue()


def picture_png(picture: Image.Image) -> bytes:
    """A picture of Pillow."""
    stored = io.BytesIO()
    picture.save(stored, "PNG")
    return stored.getvalue()
