"""Pixels against arithmetic that is done here, from files whose every byte was written here."""

import io
import os
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from striate.data.decode import Facts, Limits, decode, looks_like_an_image, printable, read_image
from striate.errors import ImageError, ImageTooLarge, UnsupportedImage, UsageError
from tests.data.pictures import Array, bmp, chunk, drawn, encoded, exif, gif, png, with_segment

WHITE = (255, 255, 255)
RNG = np.random.default_rng(7)


def pixels(data: bytes, background: tuple[int, int, int] = WHITE) -> Array:
    return decode(data, "it", background=background).pixels


def facts(data: bytes) -> Facts:
    return decode(data, "it").facts


def round_half_up(x: Fraction) -> int:
    return int(x + Fraction(1, 2))


def over(colour: int, alpha: int, full: int, behind: int) -> int:
    """Colour and alpha of 0..full over a background byte, in exact fractions."""
    a = Fraction(alpha, full)
    return round_half_up((a * Fraction(colour, full) + (1 - a) * Fraction(behind, 255)) * 255)


# Gray, and depths


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gray_of_few_bits_is_spread_over_the_whole_range(bits: int, interlaced: bool) -> None:
    samples = RNG.integers(0, 2**bits, (13, 19, 1))
    found = decode(png(samples, "L", bits, interlaced=interlaced), "it")
    assert np.array_equal(found.pixels, samples * 255 // (2**bits - 1))
    assert found.facts.bits == bits
    assert found.facts.mode == ("1" if bits == 1 else "L")


def test_16_bit_gray_is_scaled_and_rounded_for_every_value() -> None:
    samples = np.arange(65536).reshape(256, 256, 1)
    want = [round_half_up(Fraction(v, 257)) for v in range(65536)]
    assert np.array_equal(pixels(png(samples, "L", 16)).reshape(-1), want)


@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_colour_is_scaled_and_rounded(interlaced: bool) -> None:
    samples = RNG.integers(0, 65536, (17, 23, 3))
    found = decode(png(samples, "RGB", 16, interlaced=interlaced), "it")
    assert np.array_equal(found.pixels, (samples + 128) // 257)
    assert found.facts.bits == 16


def test_an_image_of_16_bits_that_are_8_bits_doubled_decodes_as_the_8_bit_one() -> None:
    plain = drawn(1)
    for mode in ("RGB", "L"):
        samples = plain if mode == "RGB" else plain[:, :, :1]
        assert np.array_equal(pixels(png(samples * np.uint16(257), mode, 16)), pixels(png(samples, mode, 8)))


# Alpha


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("background", [WHITE, (0, 0, 0), (10, 200, 77)])
def test_alpha_is_composited_on_the_stated_background(mode: str, bits: int, background: tuple[int, int, int]) -> None:
    full = 2**bits - 1
    samples = RNG.integers(0, full + 1, (9, 11, len(mode)))
    samples[0, :4, -1] = 0
    samples[1, :4, -1] = full
    gray = mode == "LA" and len(set(background)) == 1
    colour = samples[:, :, :-1] if gray or mode == "RGBA" else np.repeat(samples[:, :, :1], 3, axis=2)
    want = [
        [
            [over(int(v), int(samples[y, x, -1]), full, background[c]) for c, v in enumerate(colour[y, x])]
            for x in range(11)
        ]
        for y in range(9)
    ]
    found = decode(png(samples, mode, bits), "it", background=background)
    assert np.array_equal(found.pixels, want)
    assert found.facts.transparent


def test_alpha_that_is_full_everywhere_changes_nothing_and_is_not_called_transparent() -> None:
    colour = drawn(2)
    samples = np.concatenate([colour, np.full_like(colour[:, :, :1], 255)], axis=2)
    found = decode(png(samples, "RGBA"), "it")
    assert np.array_equal(found.pixels, colour)
    assert not found.facts.transparent


def test_colour_that_is_hidden_under_full_transparency_never_shows() -> None:
    samples = np.zeros((5, 5, 4), np.uint8)
    samples[:, :, 0] = 255
    assert (pixels(png(samples, "RGBA"), background=(1, 2, 3)) == [1, 2, 3]).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_one_transparent_gray_shows_the_background(bits: int) -> None:
    samples = RNG.integers(0, 2**bits, (8, 8, 1))
    key = int(samples[3, 3, 0])
    spread = (samples * 255 + (2**bits - 1) // 2) // (2**bits - 1)
    want = np.where(samples == key, 42, spread)
    data = png(samples, "L", bits, before=chunk(b"tRNS", struct.pack(">H", key)))
    assert np.array_equal(pixels(data, background=(42, 42, 42)), want)


@pytest.mark.parametrize("bits", [8, 16])
def test_one_transparent_colour_shows_the_background_and_its_near_neighbours_do_not(bits: int) -> None:
    samples = np.full((2, 3, 3), 100)
    samples[0, 1] += 1  # at 16 bits it differs in the low byte only
    data = png(samples, "RGB", bits, before=chunk(b"tRNS", struct.pack(">HHH", 100, 100, 100)))
    shown = pixels(data, background=(9, 8, 7))
    assert (shown[0, 0] == [9, 8, 7]).all()
    assert (shown[0, 1] != [9, 8, 7]).all()


# Palettes


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_with_transparency_is_looked_up_and_composited(bits: int) -> None:
    size = 2**bits
    colours = RNG.integers(0, 256, (size, 3))
    alpha = RNG.integers(0, 256, size // 2)  # the rest is opaque
    samples = RNG.integers(0, size, (7, 9, 1))
    data = png(samples, "P", bits, before=chunk(b"PLTE", colours.astype(np.uint8).tobytes())
               + chunk(b"tRNS", alpha.astype(np.uint8).tobytes()))  # fmt: skip
    opacity = [*alpha.tolist(), *[255] * (size - len(alpha))]
    want = [
        [[over(int(colours[i, c]), opacity[i], 255, 50) for c in range(3)] for i in row] for row in samples[:, :, 0]
    ]
    assert np.array_equal(pixels(data, background=(50, 50, 50)), want)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_gif_is_looked_up_in_its_palette(interlaced: bool) -> None:
    colours = RNG.integers(0, 256, (128, 3))
    indices = RNG.integers(0, 128, (21, 33))
    found = decode(gif(indices, colours, interlaced=interlaced), "it")
    assert np.array_equal(found.pixels, colours[indices])
    assert found.facts.mode == "P"
    assert not found.facts.animated


def test_a_gif_shows_the_background_where_it_is_transparent_and_where_its_frame_does_not_reach() -> None:
    colours = RNG.integers(0, 256, (128, 3))
    indices = RNG.integers(0, 128, (4, 6))
    found = decode(gif(indices, colours, key=int(indices[0, 0]), screen=(10, 9), at=(3, 2)), "it", background=(1, 2, 3))
    want = np.tile(np.array([1, 2, 3]), (9, 10, 1))
    want[2:6, 3:9] = np.where((indices == indices[0, 0])[:, :, None], [1, 2, 3], colours[indices])
    assert np.array_equal(found.pixels, want)
    assert found.facts.transparent


# BMP


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_bmp_of_a_palette(bits: int) -> None:
    colours = RNG.integers(0, 256, (2**bits, 3))
    indices = RNG.integers(0, 2**bits, (5, 7))
    rows = [np.packbits(np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]) for row in indices]
    stored = b"".join(row.tobytes().ljust(-(-len(row) // 4) * 4, b"\0") for row in rows[::-1])
    assert np.array_equal(pixels(bmp(stored, 7, 5, bits, palette=colours)), colours[indices])


@pytest.mark.parametrize("bits", [24, 32])
@pytest.mark.parametrize("upwards", [True, False])
def test_a_bmp_of_colour_has_its_rows_either_way_up(bits: int, upwards: bool) -> None:
    colour = drawn(3, 6, 7)
    rows = colour[::-1] if upwards else colour
    bgr = rows[:, :, ::-1] if bits == 24 else np.pad(rows[:, :, ::-1], ((0, 0), (0, 0), (0, 1)))
    packed = b"".join(row.tobytes().ljust(-(-row.size // 4) * 4, b"\0") for row in bgr)
    assert np.array_equal(pixels(bmp(packed, 7, 6 if upwards else -6, bits)), colour)


def test_a_bmp_of_gray_keeps_one_channel() -> None:
    gray = drawn(4, 8, 8, 1)
    ramp = np.repeat(np.arange(256)[:, None], 3, axis=1)
    found = decode(bmp(gray[::-1].tobytes(), 8, 8, 8, palette=ramp), "it")
    assert np.array_equal(found.pixels, gray)
    assert found.facts.mode == "L"


# JPEG colours


def inks(seed: int) -> Array:
    ink = np.zeros((32, 32, 4), np.uint8)
    ink[:, :, :] = RNG.integers(0, 256, (2, 2, 4)).repeat(16, axis=0).repeat(16, axis=1)  # whole blocks: no loss
    return ink


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_is_turned_into_light_and_adobes_mark_says_whether_it_is_inverted(adobe: bool) -> None:
    ink = inks(1)
    stored = encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=100, subsampling=0)
    mark = stored.index(b"\xff\xee")
    assert stored[mark + 4 : mark + 9] == b"Adobe"
    length = int.from_bytes(stored[mark + 2 : mark + 4], "big")
    data = stored if adobe else stored[:mark] + stored[mark + 2 + length :]
    true = ink.astype(int) if adobe else 255 - ink.astype(int)  # Pillow writes inverted values and the mark
    want = (255 - true[:, :, :3]) * (255 - true[:, :, 3:]) / 255
    found = decode(data, "it")
    assert found.facts.mode == "CMYK"
    assert np.abs(found.pixels - want).max() <= 2  # of JPEG's own rounding


def test_ycck_is_the_same_ink_in_other_coordinates() -> None:
    ink = inks(2).astype(float)
    c, m, y = (ink[:, :, i] for i in range(3))  # red is 255 - cyan (Adobe TN 5116), and cyan is stored as 255 - ink
    luma = 0.299 * c + 0.587 * m + 0.114 * y
    blue, red = 128 + (y - luma) / 1.772, 128 + (c - luma) / 1.402
    ycck = np.stack([luma, blue, red, 255 - ink[:, :, 3]], axis=2).round().clip(0, 255).astype(np.uint8)
    stored = encoded(Image.fromarray(255 - ycck, "CMYK"), "JPEG", quality=100, subsampling=0)
    mark = stored.index(b"Adobe") + 11
    data = stored[:mark] + b"\2" + stored[mark + 1 :]  # transform 2: YCCK
    want = (255 - ink[:, :, :3]) * (255 - ink[:, :, 3:]) / 255
    assert np.abs(pixels(data) - want).max() <= 4


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"quality": 30}])
def test_a_plain_jpeg_is_what_pillow_makes_of_it(options: dict[str, object]) -> None:
    data = encoded(drawn(5), "JPEG", **options)
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        assert np.array_equal(pixels(data), np.asarray(picture))


def test_a_jpeg_of_gray_keeps_one_channel() -> None:
    assert pixels(encoded(drawn(6, channels=1), "JPEG")).shape == (48, 64, 1)


# WebP


def test_a_webp_without_loss_is_exact_with_and_without_alpha() -> None:
    colour = drawn(7)
    assert np.array_equal(pixels(encoded(colour, "WEBP", lossless=True)), colour)
    alpha = RNG.integers(0, 256, (48, 64, 1), dtype=np.uint8)
    stored = encoded(np.concatenate([colour, alpha], axis=2), "WEBP", lossless=True, exact=True)
    want = (colour * (alpha / 255) + 30 * (1 - alpha / 255)).astype(float)
    found = decode(stored, "it", background=(30, 30, 30))
    assert np.abs(found.pixels - want).max() <= 0.5 + 1e-9
    assert (found.facts.mode, found.facts.transparent) == ("RGBA", True)


# Orientation


UPRIGHT = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p[:, ::-1], -1),
    8: lambda p: np.rot90(p),
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_comes_out_upright(turn: int, order: str) -> None:
    stored = drawn(8)
    want = UPRIGHT[turn](stored)
    for data in (
        png(stored, "RGB", before=chunk(b"eXIf", exif(turn, order)[6:])),
        encoded(stored, "WEBP", lossless=True, exif=exif(turn, order)),
    ):
        found = decode(data, "it")
        assert np.array_equal(found.pixels, want)
        assert found.facts.orientation == turn
        assert (found.facts.height, found.facts.width) == stored.shape[:2]  # as found in the file
    jpeg = encoded(stored, "JPEG", exif=exif(turn, order))
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        assert np.array_equal(pixels(jpeg), np.asarray(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0garbage that is none", exif(0), exif(9), exif(6)[:20],
        exif(6)[:10] + b"\xff\xff\xff\xff" + exif(6)[14:],  # the directory lies outside
        exif(6)[:10] + b"\x04\0\0\0" + exif(6)[14:],  # the directory points at itself
        exif(6)[:18] + b"\x02\0" + exif(6)[20:],  # orientation as text
    ],
)  # fmt: skip
def test_exif_that_is_broken_counts_as_none(broken: bytes) -> None:
    found = decode(with_segment(encoded(drawn(9), "JPEG"), 0xE1, broken), "it")
    assert found.facts.orientation == 1
    assert np.array_equal(found.pixels, pixels(encoded(drawn(9), "JPEG")))


# Several pictures, profiles, what else a file may carry


def test_of_an_animation_only_the_first_picture_is_read() -> None:
    first, second = drawn(10), drawn(11)
    frames = [Image.fromarray(second)]
    for format, options in {"PNG": {}, "WEBP": {"lossless": True}}.items():
        data = encoded(first, format, save_all=True, append_images=frames, duration=10, **options)
        assert np.array_equal(pixels(data), first)
        assert facts(data).animated
    indices, colours = RNG.integers(0, 128, (5, 5)), RNG.integers(0, 256, (128, 3))
    assert facts(gif(indices, colours, frames=3)).animated


def test_ten_thousand_frames_cost_no_more_than_one() -> None:
    indices, colours = np.zeros((4, 4), int), RNG.integers(0, 256, (128, 3))
    data = gif(indices, colours, frames=10_000)
    start = time.process_time()
    assert facts(data).animated
    assert time.process_time() - start < 1


def test_a_file_of_two_jpegs_is_read_as_the_first() -> None:
    first = encoded(drawn(12), "JPEG", quality=95)
    both = encoded(drawn(12), "MPO", quality=95, save_all=True, append_images=[Image.fromarray(drawn(13))])
    assert np.array_equal(pixels(both), pixels(first))


def test_a_colour_profile_changes_no_pixel_and_is_told() -> None:
    plain = encoded(drawn(14), "JPEG")
    profiled = encoded(drawn(14), "JPEG", icc_profile=b"not even a profile" * 50)
    assert np.array_equal(pixels(plain), pixels(profiled))
    assert (facts(plain).profile, facts(profiled).profile) == (False, True)
    assert facts(encoded(drawn(14), "PNG", icc_profile=b"x" * 100)).profile


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_what_follows_the_end_of_the_picture_is_not_looked_at(format: str) -> None:
    data = encoded(drawn(15), format)
    assert np.array_equal(pixels(data), pixels(data + b"PK\3\4 <script>alert(1)</script>" * 10))


def test_the_name_of_the_file_has_no_say(tmp_path: Path) -> None:
    path = tmp_path / "cat.gif"
    path.write_bytes(encoded(drawn(16), "PNG"))
    assert read_image(path).facts.format == "PNG"


# What is refused


REFUSED = {
    b"": "empty",
    b"\x89PNG\r\n\x1a\n": "too short",
    bytes(1000): "zero bytes",
    b"a plain text, longer than the shortest image\n": "text file",
    b"<!DOCTYPE html><html><body>404 not found</body></html>": "web page",
    b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>': "SVG",
    b"\x7fELF\2\1\1" + bytes(60): "program",
    b"PK\3\4" + bytes(60): "ZIP",
    b"\x1f\x8b\x08" + bytes(60): "gzip",
    b"\x80\4\x95" + bytes(60): "pickle",
    b"II*\0\x08\0\0\0" + bytes(60): "TIFF",
    b"%PDF-1.7\n" + bytes(60): "PDF",
    b"%!PS-Adobe-3.0 EPSF\n" + bytes(60): "PostScript",
    b"8BPS\0\1" + bytes(60): "Photoshop",
    b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60): "JPEG 2000",
    b"\0\0\0\x1cftypavif" + bytes(60): "AVIF",
    b"\0\0\0\x1cftypheic" + bytes(60): "HEIC",
    b"SIMPLE  =                    T" + bytes(60): "FITS",
    b"icns\0\0\1\0" + bytes(60): "ICNS",
    b"P6\n1 1\n255\nabc" + bytes(60): "PNM",
}


@pytest.mark.parametrize("data", list(REFUSED), ids=list(REFUSED.values()))
def test_another_format_is_refused_and_named(data: bytes) -> None:
    with pytest.raises(UnsupportedImage, match=REFUSED[data]):
        decode(data, "photo.jpg")
    assert not looks_like_an_image(data) or len(data) < 26


def cut_short() -> dict[str, bytes]:
    colour = drawn(17)
    return {
        "JPEG": encoded(colour, "JPEG", quality=80), "progressive JPEG": encoded(colour, "JPEG", progressive=True),
        "gray JPEG": encoded(colour[:, :, :1], "JPEG"), "PNG": encoded(colour, "PNG"),
        "16-bit PNG": png(colour * np.uint16(257), "RGB", 16),
        "palette PNG": encoded(Image.fromarray(colour).quantize(16), "PNG"),
        "GIF": encoded(colour, "GIF"), "BMP": encoded(colour, "BMP"), "gray BMP": encoded(colour[:, :, :1], "BMP"),
        "WebP": encoded(colour, "WEBP"), "lossless WebP": encoded(colour, "WEBP", lossless=True),
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "data"), cut_short().items(), ids=list(cut_short()))
def test_a_file_that_is_cut_short_is_never_decoded(kind: str, data: bytes) -> None:
    decode(data, kind)
    cuts = {*range(0, len(data), max(1, len(data) // 150)), *range(max(0, len(data) - 40), len(data))}
    for cut in cuts:
        with pytest.raises(ImageError, match=f"^{kind}: "):
            decode(data[:cut], kind)


def test_a_jpeg_whose_missing_part_is_hidden_by_an_end_mark_is_refused() -> None:
    for options in ({}, {"progressive": True}, {"subsampling": 2}):
        data = encoded(drawn(18, 96, 128), "JPEG", quality=90, **options)
        start, last = data.index(b"\xff\xda") + 40, data.rindex(b"\xff\xda")
        stop = last if "progressive" in options else len(data) - 60  # the last scan brings one bit of the finest detail
        for cut in range(start, stop, 97):
            with pytest.raises(ImageError, match=r"cut short|damaged"):
                decode(data[:cut] + b"\xff\xd9", "it")


def test_a_jpeg_that_is_gray_to_its_last_corner_is_no_cut_one() -> None:
    gray = np.full((40, 50, 3), 128, np.uint8)
    for options in ({}, {"progressive": True}, {"subsampling": 2}):
        assert (pixels(encoded(gray, "JPEG", **options)) == 128).all()
    assert (pixels(encoded(gray[:, :, :1], "JPEG")) == 128).all()


def test_a_gif_whose_data_end_before_the_picture_is_refused() -> None:
    indices, colours = RNG.integers(0, 128, (20, 20)), RNG.integers(0, 256, (128, 3))
    assert pixels(gif(indices, colours, keep=400)).shape == (20, 20, 3)
    for keep in (0, 1, 200, 399):
        with pytest.raises(ImageError, match=r"no data for part|truncated"):
            decode(gif(indices, colours, keep=keep), "it")


def test_a_png_whose_rows_end_before_the_picture_is_refused() -> None:
    head = png(drawn(19), "RGB")
    short = zlib.compress(b"\0" * 100)
    at = head.index(b"IDAT") - 4
    with pytest.raises(ImageError, match=r"cut short: the PNG holds 100 of 9,264 bytes"):
        decode(head[:at] + chunk(b"IDAT", short) + chunk(b"IEND", b""), "it")


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    data = png(drawn(20), "RGB")
    for at in (data.index(b"IHDR") + 5, data.index(b"IDAT") + 30, data.index(b"IEND") + 6):
        with pytest.raises(ImageError, match="checksum"):
            decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], "it")


@pytest.mark.parametrize(("marker", "why"), [(0xC9, "arithmetic"), (0xC3, "lossless"), (0xC5, "hierarchical")])
def test_kinds_of_jpeg_that_cameras_do_not_write_are_refused(marker: int, why: str) -> None:
    data = encoded(drawn(21), "JPEG")
    with pytest.raises(UnsupportedImage, match=why):
        decode(data.replace(b"\xff\xc0", bytes([0xFF, marker])), "it")
    with pytest.raises(UnsupportedImage, match="12 bits"):
        decode(data.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "it")


# Limits


def header_only(width: int, height: int) -> dict[str, bytes]:
    jpeg, webp = encoded(drawn(22), "JPEG"), encoded(drawn(22), "WEBP", lossless=True)
    frame = jpeg.index(b"\xff\xc0") + 5
    word = (width - 1) & 0x3FFF | ((height - 1) & 0x3FFF) << 14
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    whole = png(drawn(22), "RGB")
    return {
        "JPEG": jpeg[:frame] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + jpeg[frame + 4 :],
        "PNG": whole[:8] + head + whole[33:],
        "GIF": gif(np.zeros((4, 4), int), np.zeros((128, 3)), screen=(width & 0xFFFF, height & 0xFFFF)),
        "BMP": bmp(b"", width, height, 24),
        "WebP": webp[:21] + struct.pack("<I", word) + webp[25:],
    }


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (5_001, 5_000), (4_097, 4), (3, 16_000)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WebP"])
def test_a_header_that_asks_for_too_much_is_refused_before_memory_is_taken(
    format: str, width: int, height: int
) -> None:
    if format == "WebP" and max(width, height) > 16_384:
        pytest.skip("a WebP can't say so")

    data = header_only(width, height)[format]
    tracemalloc.start()
    with pytest.raises(ImageTooLarge):
        decode(data, "it")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_thin_images_are_read_while_they_are_small() -> None:
    assert pixels(png(np.zeros((1, 4096, 1)), "L")).shape == (1, 4096, 1)
    assert pixels(png(np.zeros((4096, 1, 1)), "L")).shape == (4096, 1, 1)
    with pytest.raises(ImageTooLarge, match="1,000 times"):
        decode(png(np.zeros((1, 4097, 1)), "L"), "it")


def test_the_thin_bomb_is_refused_at_once() -> None:
    rows = zlib.compress(bytes(2 * 49_000_000 // 1000)) * 10  # never unpacked
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 49_000_000, 1, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    start = time.process_time()
    with pytest.raises(ImageTooLarge, match="sides of up to 16,384"):
        decode(data, "it")
    assert time.process_time() - start < 0.1


def test_the_scan_bomb_is_refused_at_once() -> None:
    data = encoded(np.zeros((4000, 4000), np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 2000 + data[-2:]
    start = time.process_time()
    with pytest.raises(ImageTooLarge, match="over 64 scans"):
        decode(bomb, "it")
    assert time.process_time() - start < 0.2


def test_scans_that_thumbnails_and_profiles_contain_are_not_counted() -> None:
    data = with_segment(encoded(drawn(23), "JPEG"), 0xE2, b"\xff\xda\0\x08" * 1000)
    assert np.array_equal(pixels(data), pixels(encoded(drawn(23), "JPEG")))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_texts_and_profiles_that_unpack_to_a_flood_are_refused(kind: bytes) -> None:
    flood = zlib.compress(bytes(64 << 20), 9)
    body = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0en\0k\0", b"iCCP": b"k\0\0"}[kind] + flood
    start = time.process_time()
    with pytest.raises(ImageTooLarge, match="unpack"):
        decode(png(drawn(24), "RGB", before=chunk(kind, body)), "it")
    assert time.process_time() - start < 0.5
    small = body[: len(body) - len(flood)] + zlib.compress(b"x" * 1000)
    assert np.array_equal(pixels(png(drawn(24), "RGB", before=chunk(kind, small))), drawn(24))


def test_files_in_a_million_parts_are_refused() -> None:
    tiny = chunk(b"tEXt", b"") * 1_000_000
    segments = b"\xff\xe5\0\x02" * 65_535
    jpeg = encoded(drawn(25), "JPEG")
    for data in (png(drawn(25), "RGB", before=tiny), jpeg[:2] + segments + jpeg[2:]):
        start = time.process_time()
        with pytest.raises(ImageTooLarge, match="over 16,384"):
            decode(data, "it")
        assert time.process_time() - start < 1


def test_a_gif_of_a_million_blocks_is_refused() -> None:
    comment = b"!\xfe" + b"\1x" * 1_000_000 + b"\0"
    data = gif(np.zeros((4, 4), int), np.zeros((128, 3)))
    with pytest.raises(ImageTooLarge, match="GIF blocks"):
        decode(data[:-1] + comment + b";", "it")


def test_a_large_run_length_coded_bmp_is_refused_and_a_small_one_is_read() -> None:
    def coded(side: int) -> bytes:
        data = bytearray(
            bmp(bytes([side, 5, 0, 0]) * side + b"\0\1", side, side, 8, palette=np.arange(768).reshape(256, 3) % 256)
        )
        data[30:34] = struct.pack("<I", 1)
        return bytes(data)

    assert (pixels(coded(200)) == [15, 16, 17]).all()
    with pytest.raises(ImageTooLarge, match="run-length"):
        decode(coded(200)[:18] + struct.pack("<ii", 2000, 2000) + coded(200)[26:], "it")


def test_a_stated_limit_holds_to_the_pixel() -> None:
    data = encoded(drawn(26, 50, 100), "PNG")
    assert decode(data, "it", limits=Limits(max_pixels=5000, max_side=100, max_bytes=len(data))).pixels.size == 15_000
    for limits in (Limits(max_pixels=4999), Limits(max_side=99), Limits(max_bytes=len(data) - 1)):
        with pytest.raises(ImageTooLarge, match=r"^it: "):
            decode(data, "it", limits=limits)
    with pytest.raises(UsageError):
        Limits(max_pixels=10**9)


def test_the_largest_image_that_is_read_takes_bounded_memory() -> None:
    code = (
        "import sys, io, resource; sys.path[:0] = sys.argv[1:]\n"
        "import numpy as np\nfrom pictures import encoded\nfrom striate.data.decode import decode\n"
        "data = encoded(np.zeros((5000, 5000, 4), np.uint8), 'PNG', compress_level=1)\n"
        "from PIL import Image\n"
        "decode(encoded(np.zeros((8, 8, 4), np.uint8), 'PNG'), 'warm')\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + (260 << 20), now + (260 << 20)))\n"
        "assert decode(data, 'it', background=(1, 2, 3)).pixels[0, 0].tolist() == [1, 2, 3]\n"
    )
    here = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run([sys.executable, "-c", code, *here], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


# Errors


FILES = {format: encoded(drawn(27, 24, 32), format) for format in ("JPEG", "PNG", "GIF", "BMP", "WEBP")} | {
    "progressive": encoded(drawn(27, 24, 32), "JPEG", progressive=True),
    "16 bits": png(drawn(27, 24, 32) * np.uint16(257), "RGB", 16),
    "palette": encoded(Image.fromarray(drawn(27, 24, 32)).quantize(8), "PNG"),
    "animated": encoded(
        drawn(27, 24, 32), "WEBP", save_all=True, append_images=[Image.fromarray(drawn(28, 24, 32))], duration=9
    ),
}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_is_done_to_a_file_either_it_decodes_or_an_image_error_names_it(data: st.DataObject) -> None:
    content = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["set", "flip", "cut", "double", "insert", "swap"])):
            case "set":
                content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 40))]
            case "double":
                content[at:at] = content[at : at + 40]
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "swap":
                content[at : at + 4] = content[at : at + 4][::-1]
        content = content or bytearray(b"\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, message = attempt(bytes(content))
    if found is None:
        assert message.startswith("it: ")
        assert " at 0x" not in message  # no address in memory: the same file gives the same message
    else:
        assert found.dtype == np.uint8
        assert found.shape[2] in (1, 3)
        assert found.size > 0


def attempt(data: bytes) -> tuple[Array | None, str]:
    try:
        return decode(data, "it").pixels, ""
    except ImageError as error:
        return None, str(error)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([f[:30] for f in FILES.values()] + [b""]))
def test_bytes_that_are_no_image_give_an_image_error(tail: bytes, head: bytes) -> None:
    with pytest.raises(ImageError, match=r"^it: "):
        decode(head + tail, "it")


def test_memory_that_runs_out_is_told_as_an_image_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", no_memory)
    with pytest.raises(ImageTooLarge, match=r"^it: .*memory"):
        decode(FILES["PNG"], "it")


def test_no_other_reader_of_pillow_is_ever_loaded() -> None:
    code = (
        "import sys\nsys.path[:0] = sys.argv[1:]\nfrom test_decode import FILES, exif, encoded, drawn, REFUSED\n"
        "for name in [m for m in sys.modules if m.startswith('PIL.') and 'Plugin' in m]: pass\n"
        "from striate.data.decode import decode\nfrom striate.errors import ImageError\n"
        "before = set(sys.modules)\n"
        "for data in [*FILES.values(), encoded(drawn(1), 'JPEG', exif=exif(6)), *REFUSED]:\n"
        "    try: decode(data, 'it')\n    except ImageError: pass\n"
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('PIL')))\n"
    )
    here = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run([sys.executable, "-c", code, *here], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


# Files


def test_a_file_is_read_through_links_and_odd_names(tmp_path: Path) -> None:
    data = FILES["PNG"]
    for name in (
        "a b.png",
        "ä\u0308.png",
        "-rf.png",
        "line\nbreak.png",
        "<script>.png",
        "\U0001f431.png",
        "x" * 251 + ".png",
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert read_image(path).pixels.shape == (24, 32, 3)
    raw = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    raw.write_bytes(data[:100])
    with pytest.raises(ImageError, match="cut short") as caught:
        read_image(raw)
    str(caught.value).encode()  # can be printed
    (tmp_path / "link").symlink_to(tmp_path / "a b.png")
    assert read_image(tmp_path / "link").facts.format == "PNG"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "to_pipe.png").symlink_to(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        start = time.monotonic()
        for path, why in {
            tmp_path / "pipe.png": "pipe", tmp_path / "to_pipe.png": "pipe", tmp_path / "folder.png": "folder",
            tmp_path / "s": "socket", Path("/dev/zero"): "device", tmp_path / "loop.png": "symbolic links",
            tmp_path / "nowhere.png": "No such file", tmp_path / ("x" * 300): "too long",
            Path("nul\0byte"): "file name",
        }.items():  # fmt: skip
            with pytest.raises(ImageError, match=why):
                read_image(path)
        assert time.monotonic() - start < 2


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(FILES["PNG"])

    def refuse(*_: object) -> int:  # whoever runs the tests may be root, who may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        read_image(path)


def test_a_sparse_terabyte_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        try:
            os.truncate(file.fileno(), 1 << 40)
        except OSError:
            os.truncate(file.fileno(), 1 << 34)
    with pytest.raises(ImageTooLarge, match="bytes are read"):
        read_image(path)


def test_a_name_is_shown_on_one_line() -> None:
    assert printable("plain ü 猫.png") == "plain ü 猫.png"
    assert printable("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"
    with pytest.raises(ImageError, match=r"^a\\nb: "):
        decode(b"nothing that is an image at all", "a\nb")
