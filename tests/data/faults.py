"""A data set of drawn pictures that is in order, and thirty-odd ways to spoil it, each at a known place."""

import io
import os
import socket
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tests.data.pictures import chunk, drawn, encoded, exif, png

CLASSES = ("apples", "bridges", "clouds")
TRAIN, VAL = 12, 4
SIDES = (72, 96)  # height, width


@dataclass(frozen=True)
class Fault:
    """What was planted: the finding it must raise, and the names that must be among its examples."""

    kind: str
    names: tuple[str, ...]
    also: tuple[str, ...] = ()  # other findings that follow of necessity


def clean(root: Path) -> Path:
    """root/{train,val}/<class>/<n>.png, each picture of its own, nothing wrong."""
    seed = 0
    for role, count in (("train", TRAIN), ("val", VAL)):
        for name in CLASSES:
            (root / role / name).mkdir(parents=True)
            for i in range(count):
                seed += 1
                (root / role / name / f"{i:03}.png").write_bytes(encoded(drawn(seed, *SIDES), "PNG"))
    return root


def place(root: Path, name: str, content: bytes) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def fresh(seed: int) -> Image.Image:
    """A picture that is nowhere else in the set."""
    return Image.fromarray(drawn(10_000 + seed, *SIDES))


def saved(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


A = "train/apples"


def truncated(root: Path) -> Fault:
    return Fault("cut-short", (place(root, f"{A}/bad.jpg", saved(fresh(1), "JPEG")[:1500]),))


def truncated_but_ended(root: Path) -> Fault:
    data = saved(fresh(2), "JPEG", quality=90)
    return Fault("cut-short", (place(root, f"{A}/half.jpg", data[: len(data) // 2] + b"\xff\xd9"),))


def flipped_bits(root: Path) -> Fault:
    data = bytearray(saved(fresh(3)))
    data[len(data) // 2] ^= 0x10
    return Fault("damaged", (place(root, f"{A}/rot.png", bytes(data)),))


def zero_bytes(root: Path) -> Fault:
    return Fault("empty-file", (place(root, f"{A}/nothing.jpg", b""),))


def web_page(root: Path) -> Fault:
    page = b"<!DOCTYPE html><html><body>404: not found</body></html>"
    return Fault("not-an-image", (place(root, f"{A}/download.jpg", page),))


def zeros(root: Path) -> Fault:
    return Fault("not-an-image", (place(root, f"{A}/zeros.jpg", bytes(5000)),))


def tiff(root: Path) -> Fault:
    return Fault("unsupported-format", (place(root, f"{A}/scan.tif", saved(fresh(4), "TIFF")),))


def svg(root: Path) -> Fault:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    return Fault("unsupported-format", (place(root, f"{A}/logo.svg", drawing),))


def bomb(root: Path) -> Fault:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 49_000_000, 1, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(90_000))) + chunk(b"IEND", b"")
    return Fault("over-limits", (place(root, f"{A}/bomb.png", data),))


def sparse(root: Path) -> Fault:
    (root / A / "sparse.png").touch()
    os.truncate(root / A / "sparse.png", 1 << 33)
    return Fault("over-limits", (f"{A}/sparse.png",))


def extension(root: Path) -> Fault:
    return Fault("wrong-extension", (place(root, f"{A}/really_png.jpg", saved(fresh(5))),))


def copy_in_class(root: Path) -> Fault:
    name = place(root, f"{A}/copy.png", (root / A / "003.png").read_bytes())
    return Fault("duplicate", (f"{A}/003.png", name))


def copy_across_classes(root: Path) -> Fault:
    name = place(root, "train/bridges/copy.png", (root / A / "004.png").read_bytes())
    return Fault("label-conflict", (f"{A}/004.png", name))


def copy_across_splits(root: Path) -> Fault:
    name = place(root, "val/apples/copy.png", (root / A / "005.png").read_bytes())
    return Fault("leak", (f"{A}/005.png", name))


def picture(root: Path, name: str) -> Image.Image:
    return Image.open(io.BytesIO((root / name).read_bytes()), formats=["PNG"]).convert("RGB")


def cropped(picture: Image.Image, share: float = 0.05) -> Image.Image:
    w, h = picture.size
    return picture.crop((round(w * share), round(h * share), w, h))


def saved_again(root: Path) -> Fault:
    data = saved(picture(root, f"{A}/006.png"), "JPEG", quality=30)
    return Fault("near-duplicate", (f"{A}/006.png", place(root, f"{A}/again.jpg", data)))


def mirrored_in_val(root: Path) -> Fault:
    data = saved(ImageOps.mirror(picture(root, f"{A}/007.png")), "JPEG", quality=85)
    return Fault("near-leak", (f"{A}/007.png", place(root, "val/apples/mirrored.jpg", data)))


def cropped_in_another_class(root: Path) -> Fault:
    data = saved(cropped(picture(root, f"{A}/008.png")))
    return Fault("near-label-conflict", (f"{A}/008.png", place(root, "train/bridges/cropped.png", data)))


def smaller_and_brighter(root: Path) -> Fault:
    small = picture(root, f"{A}/009.png").resize((64, 48), Image.Resampling.BICUBIC)
    data = saved(ImageEnhance.Brightness(small).enhance(1.25))
    return Fault("near-duplicate", (f"{A}/009.png", place(root, f"{A}/smaller.png", data)))


def uneven(root: Path) -> Fault:
    for i in range(2 * TRAIN + 4):
        place(root, f"train/clouds/more{i:02}.png", saved(fresh(100 + i)))
    return Fault("uneven-classes", ("clouds (40)",))


def few(root: Path) -> Fault:
    for i in range(3, TRAIN):
        (root / f"train/bridges/{i:03}.png").unlink()
    return Fault("few-images", ("bridges",), ("uneven-classes",))


def empty_class(root: Path) -> Fault:
    (root / "train/dunes").mkdir()
    return Fault("empty-class", ("train/dunes",))


def lost_class(root: Path) -> Fault:
    place(root, "train/eagles/only.png", saved(fresh(6))[:200])
    return Fault("class-lost", ("eagles",), ("cut-short", "class-not-in-val"))


def not_in_val(root: Path) -> Fault:
    for path in (root / "val/clouds").iterdir():
        path.unlink()
    (root / "val/clouds").rmdir()
    return Fault("class-not-in-val", ("clouds",))


def only_in_val(root: Path) -> Fault:
    place(root, "val/eagles/one.png", saved(fresh(7)))
    return Fault("unknown-class", ("eagles",), ("not-trainable",))


def hidden(root: Path) -> Fault:
    place(root, f"{A}/.001.png.swp", b"x")
    (root / "train/.cache").mkdir()
    return Fault("hidden", (f"{A}/.001.png.swp", "train/.cache"))


def left_behind(root: Path) -> Fault:
    return Fault("left-behind", (place(root, f"{A}/Thumbs.db", b"\xd0\xcf\x11\xe0"),))


def stray_file(root: Path) -> Fault:
    return Fault("stray-file", (place(root, "train/lost.png", saved(fresh(8))),))


def stray_folder(root: Path) -> Fault:
    place(root, "extra/apples/x.png", saved(fresh(9)))
    return Fault("stray", ("extra",))


def text_file(root: Path) -> Fault:
    return Fault("other-file", (place(root, f"{A}/notes.txt", b"taken in May"),))


def alike_by_case(root: Path) -> Fault:
    for i in range(TRAIN):
        place(root, f"train/Apples/{i:03}.png", saved(fresh(200 + i)))
    return Fault("names-alike", ("Apples", "apples"), ("class-not-in-val",))


def alike_by_form(root: Path) -> Fault:
    one, other = unicodedata.normalize("NFC", "äpfel"), unicodedata.normalize("NFD", "äpfel")
    for k, name in enumerate((one, other)):
        for i in range(TRAIN):
            place(root, f"train/{name}/{i:03}.png", saved(fresh(300 + 50 * k + i)))
    return Fault("names-alike", (one, other), ("class-not-in-val",))


def tiny(root: Path) -> Fault:
    return Fault("tiny", (place(root, f"{A}/icon.png", saved(fresh(10).resize((12, 9)))),))


def thin(root: Path) -> Fault:
    return Fault("thin", (place(root, f"{A}/banner.png", encoded(drawn(20_011, 40, 200), "PNG")),))


def blown_up(root: Path) -> Fault:
    return Fault("small-for-network", (place(root, f"{A}/small.png", encoded(drawn(20_012, 24, 32), "PNG")),))


def huge(root: Path) -> Fault:
    return Fault("unlike-sizes", (place(root, f"{A}/huge.jpg", encoded(drawn(20_013, 700, 900), "JPEG")),))


def gray(root: Path) -> Fault:
    return Fault("mixed-colour", (place(root, f"{A}/gray.png", saved(fresh(14).convert("L"))),))


def transparent(root: Path) -> Fault:
    rgba = fresh(15).convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    return Fault("transparent", (place(root, f"{A}/alpha.png", saved(rgba)),))


def cmyk(root: Path) -> Fault:
    return Fault("cmyk", (place(root, f"{A}/print.jpg", saved(fresh(16).convert("CMYK"), "JPEG", quality=95)),))


def sixteen_bits(root: Path) -> Fault:
    samples = np.asarray(fresh(17)) * np.uint16(257)
    return Fault("16-bit", (place(root, f"{A}/deep.png", png(samples, "RGB", 16)),))


def rotated(root: Path) -> Fault:
    return Fault("rotated", (place(root, f"{A}/phone.jpg", saved(fresh(18), "JPEG", quality=95, exif=exif(6))),))


def animated(root: Path) -> Fault:
    data = saved(fresh(19), "WEBP", save_all=True, append_images=[fresh(20)], duration=50, lossless=True)
    return Fault("animated", (place(root, f"{A}/film.webp", data),))


def palette(root: Path) -> Fault:
    return Fault("palette", (place(root, f"{A}/few_colours.png", saved(fresh(21).quantize(200))),))


def profile(root: Path) -> Fault:
    return Fault("colour-profile", (place(root, f"{A}/wide.png", saved(fresh(22), icc_profile=b"p" * 200)),))


def one_colour(root: Path) -> Fault:
    flat = Image.new("RGB", SIDES[::-1], (90, 90, 91))
    return Fault("one-colour", (place(root, f"{A}/lens_cap.png", saved(flat)),))


def pipe(root: Path) -> Fault:
    os.mkfifo(root / A / "pipe.png")
    return Fault("special-file", (f"{A}/pipe.png",))


def socket_file(root: Path) -> Fault:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root / A)  # the name of a socket is short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
    return Fault("special-file", (f"{A}/socket.png",))


def dead_link(root: Path) -> Fault:
    (root / A / "gone.png").symlink_to("nowhere.png")
    return Fault("dead-link", (f"{A}/gone.png",))


def link_to_itself(root: Path) -> Fault:
    (root / A / "loop.png").symlink_to("loop.png")
    return Fault("dead-link", (f"{A}/loop.png",))


def folder_loop(root: Path) -> Fault:
    (root / A / "again").symlink_to(root / A)
    return Fault("folder-loop", (f"{A}/again",), ("nested",))


def link_out(root: Path) -> Fault:
    outside = root.parent / f"{root.name}_outside.png"
    outside.write_bytes(saved(fresh(23)))
    (root / A / "outside.png").symlink_to(outside)
    return Fault("link-out", (f"{A}/outside.png",))


def nested(root: Path) -> Fault:
    place(root, f"{A}/red/x.png", saved(fresh(24)))
    return Fault("nested", ("apples",))


def odd_name(root: Path) -> Fault:
    return Fault("odd-name", (place(root, f"{A}/-rf \x1b[31m.png", saved(fresh(25))),))


PLANTED = (
    truncated, truncated_but_ended, flipped_bits, zero_bytes, web_page, zeros, tiff, svg, bomb, sparse, extension,
    copy_in_class, copy_across_classes, copy_across_splits, saved_again, mirrored_in_val, cropped_in_another_class,
    smaller_and_brighter, uneven, few, empty_class, lost_class, not_in_val, only_in_val, hidden, left_behind,
    stray_file, stray_folder, text_file, alike_by_case, alike_by_form, tiny, thin, blown_up, huge, gray,
    transparent, cmyk, sixteen_bits, rotated, animated, palette, profile, one_colour, pipe, socket_file,
    dead_link, link_to_itself, folder_loop, link_out, nested, odd_name,
)  # fmt: skip
FAULTS: dict[str, Callable[[Path], Fault]] = {plant.__name__: plant for plant in PLANTED}
APART = {"few", "not_in_val", "only_in_val"}  # they undo what others plant, or keep the rest from being divided
