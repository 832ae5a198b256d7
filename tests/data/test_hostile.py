"""Thousands of files that were made to break image readers: each decodes or is refused, at once, within memory.

The public corpora come with what Pillow 13 did on each file (formats restricted, at most 50 million pixels).
"""

import csv
import io
import json
import random
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.data.decode import decode
from striate.data.doctor import diagnose
from striate.errors import ImageError, ImageTooLarge, UnsupportedImage
from tests.data.png_by_hand import decoded_by_hand
from tests.data.test_decode import FILES

# Run in a process of its own: a crash is seen, memory is that of decoding alone, and nothing may be said on stderr.
DECODE_ALL = """
import json, sys, tarfile, time
from striate.data.decode import decode
from striate.errors import ImageError

def peak_kb():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])

before, results = peak_kb(), {}
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        if not member.isfile() or member.name.endswith(".csv"):
            continue
        data = archive.extractfile(member).read()
        start = time.process_time()
        try:
            found = decode(data, "it")
            said = ["ok", found.facts.format, found.facts.width, found.facts.height, list(found.pixels.shape)]
        except ImageError as error:
            said = [type(error).__name__, str(error)]
        results[member.name.rpartition("/")[2]] = [time.process_time() - start, *said]
print(json.dumps([results, before, peak_kb()]))
"""
# Why a file that Pillow reads is refused here: stricter limits, kinds of JPEG that cameras do not write, and files that
# are cut short or damaged where Pillow draws black or gray, or does not look.
STRICTER = r"cut short|damaged|arithmetic-coded|lossless|hierarchical|pixels are read|times the other|run-length|scans"


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    path = shared / "hostile" / "hostile_images.tar.xz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def manifest(corpus: Path) -> Iterator[dict[str, str]]:
    with tarfile.open(corpus) as archive:
        for member in archive:
            if member.name.endswith("manifest.csv"):
                file = archive.extractfile(member)
                assert file is not None
                yield from csv.DictReader(io.StringIO(file.read().decode()))


def test_the_public_corpora_are_decoded_or_refused_at_once_and_as_their_manifest_says(corpus: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", DECODE_ALL, str(corpus)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    results, before_kb, peak_kb = json.loads(done.stdout)
    assert len(results) >= 4_900
    assert max(seconds for seconds, *_ in results.values()) < 1
    assert peak_kb - before_kb < 128 * 1024
    verdicts = Counter(verdict for _, verdict, *_ in results.values())
    assert set(verdicts) == {"ok", "ImageError", "ImageTooLarge", "UnsupportedImage"}
    assert verdicts["ok"] > 800
    more = [why for row in manifest(corpus) if (why := disagreement(row, results[row["sha256_32"]]))]
    assert more == []


def disagreement(row: dict[str, str], result: list[Any]) -> str:
    """What is not explained by stricter rules; empty where all is."""
    theirs, (_, ours, *rest) = row["pillow13_allow5_cap50MP"], result
    if theirs.startswith("ok"):
        if ours != "ok":
            return "" if re.search(STRICTER, rest[0]) else f"{row['path']}: Pillow reads it, here {rest[0]}"
        _, format, _, sides = theirs.split()
        same = format == rest[0] or (format, rest[0]) == ("MPO", "JPEG")
        return "" if same and sides == f"{rest[1]}x{rest[2]}" else f"{row['path']}: {theirs}, here {rest}"
    # What Pillow stumbles over in texts, profiles and EXIF of a PNG is not looked at here.
    return f"{row['path']}: {theirs}, here {rest}" if ours == "ok" and rest[0] != "PNG" else ""


def test_every_small_png_of_the_corpora_has_the_pixels_that_the_standard_says(corpus: Path) -> None:
    compared = 0
    with tarfile.open(corpus) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            data = b"" if file is None else file.read()
            if data[:4] != b"\x89PNG" or int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) > 1100:
                continue
            try:
                found = decode(data, member.name, background=(200, 200, 200)).pixels
            except ImageError:
                continue
            if b"eXIf" not in data:
                assert np.array_equal(found, decoded_by_hand(data, 200)), member.name
                compared += 1
    assert compared > 120


def test_the_doctor_goes_through_hostile_files(corpus: Path, tmp_path: Path) -> None:
    names = []
    with tarfile.open(corpus) as archive:
        for number, member in enumerate(archive):
            if member.isfile() and not member.name.endswith(".csv") and number % 15 == 0:
                file = archive.extractfile(member)
                assert file is not None
                path = tmp_path / "train" / "ab"[number // 15 % 2] / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())
                names.append(path)
    examination = diagnose(str(tmp_path), size=32)
    readable = sum(_reads(path) for path in names)
    assert sum(examination.diagnosis.images.values()) == readable
    assert len(examination.screened.quarantined) == len(names) - readable
    kinds = {finding.kind for finding in examination.diagnosis.findings}
    assert {"cut-short", "damaged", "not-an-image", "over-limits", "wrong-extension"} <= kinds


def _reads(path: Path) -> bool:
    try:
        decode(path.read_bytes(), "it")
    except ImageError:
        return False
    return True


def test_twenty_thousand_mutations_decode_or_raise_an_image_error() -> None:
    rng = random.Random(20_261_120)
    seeds = list(FILES.values())
    verdicts: Counter[str] = Counter()
    for _ in range(20_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at, n = rng.randrange(len(data)), rng.choice((1, 2, 4, 40))
            match rng.randrange(5):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at : at + n] = rng.randbytes(n)
                case 2:
                    del data[at : at + n]
                case 3:
                    data[at:at] = data[at : at + n]
                case 4:
                    data[at : at + n] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * n
            data = data or bytearray(b"\0")
        try:
            decode(bytes(data), "it")
            verdicts["ok"] += 1
        except (ImageTooLarge, UnsupportedImage) as error:
            verdicts[type(error).__name__] += 1
        except ImageError:
            verdicts["ImageError"] += 1
    assert verdicts.total() == 20_000
    assert min(verdicts.values()) > 50
