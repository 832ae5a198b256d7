"""What an image file may ask for. Checked on its header, before a pixel is decoded or memory is set aside for one."""

from dataclasses import dataclass

from striate.errors import ImageError, ImageTooLarge, UsageError

PILLOW_PIXELS = 89_478_485  # Pillow's own line, above which it warns of a decompression bomb


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest image that is read.

    A limit on pixels alone does not bound memory: 49 million pixels as 1 x 49,000,000 cost 2 GB when they are
    resized, hence the limits on a side and on the aspect. Nor does it bound time: each scan of a progressive JPEG
    is one more pass over the picture.
    """

    max_bytes: int = 64 << 20  # of the file
    max_pixels: int = 25_000_000
    max_side: int = 16_384  # in pixels
    max_aspect: int = 1_000  # long side over short side; only where the long side is above `thin_side`
    thin_side: int = 4_096  # in pixels; up to here a thin image is harmless, however thin
    max_scans: int = 64  # of a JPEG
    max_parts: int = 16_384  # JPEG segments, PNG or WebP chunks; 32 times as many GIF blocks of at most 255 bytes
    max_unpacked: int = 16 << 20  # bytes, of all compressed texts and profiles of a PNG together
    max_run_length_pixels: int = 1_000_000  # of a run-length coded BMP, whose decoder is slow

    def __post_init__(self) -> None:
        if self.max_pixels > PILLOW_PIXELS:
            raise UsageError(f"max_pixels is at most {PILLOW_PIXELS:,}, not {self.max_pixels:,}")

    def check_bytes(self, size: int) -> None:
        """Raises: ImageTooLarge for a file of more bytes than are read."""
        if size > self.max_bytes:
            raise ImageTooLarge(f"{size:,} bytes; files of up to {self.max_bytes:,} bytes are read")

    def check_sides(self, width: int, height: int) -> None:
        """Raises: ImageTooLarge for too many pixels, too long a side, too thin a shape; ImageError for none at all."""
        if width < 1 or height < 1:
            raise ImageError(f"the header says {width} x {height} pixels")
        if max(width, height) > self.max_side:
            raise ImageTooLarge(f"{width:,} x {height:,} pixels; sides of up to {self.max_side:,} pixels are read")
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                f"{width:,} x {height:,} is {width * height:,} pixels; up to {self.max_pixels:,} pixels are read"
            )
        if max(width, height) > max(self.thin_side, self.max_aspect * min(width, height)):
            raise ImageTooLarge(f"{width:,} x {height:,} pixels; one side is over {self.max_aspect:,} times the other")

    def check_parts(self, count: int, kind: str) -> None:
        """Raises: ImageTooLarge for a file chopped into more parts than any camera or program writes."""
        if count > self.max_parts:
            raise ImageTooLarge(f"over {self.max_parts:,} {kind}")
