"""From pixels that the network sees back to the image that they were made of."""

from collections.abc import Sequence

from striate.data.preprocess import Preprocess

Corners = tuple[float, float, float, float]  # top, left, bottom, right in pixels; the last two are not inside


def in_source(preprocess: Preprocess, size: tuple[int, int], box: Sequence[int]) -> Corners:
    """A box (top, left, height, width) of what the network sees -> where it lies in an image of `size` (H, W).

    Clipped at the border of the image: what a letterbox filled in is not there.

    >>> in_source(Preprocess(size=(32, 32), short_side=32), (64, 128), (0, 0, 16, 16))  # the middle was cut out
    (0.0, 32.0, 32.0, 64.0)
    """
    top, left, height, width = box
    (start_y, scale_y), (start_x, scale_x) = lines(preprocess, size)

    def along(start: float, scale: float, at: float, limit: int) -> float:
        return min(max(start + scale * at, 0.0), float(limit))

    return (
        along(start_y, scale_y, top, size[0]), along(start_x, scale_x, left, size[1]),
        along(start_y, scale_y, top + height, size[0]), along(start_x, scale_x, left + width, size[1]),
    )  # fmt: skip


def lines(preprocess: Preprocess, size: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Along each axis where the network's pixel 0 begins in the source, and how wide a pixel is there."""
    (h, w), (height, width) = preprocess.size, size
    if preprocess.resize == "stretch":
        return (0.0, height / h), (0.0, width / w)
    if preprocess.resize == "crop":
        left, top, right, bottom = preprocess.kept(height, width)
        return (top, (bottom - top) / h), (left, (right - left) / w)
    scale, wide, high = min(w / width, h / height), width, height
    if preprocess.resize == "letterbox" or scale < 1:
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    before, above = (w - wide) // 2, (h - high) // 2
    return (-above * height / high, height / high), (-before * width / wide, width / wide)
