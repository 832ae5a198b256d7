"""Altered copies are found, other pictures are not, and the search is the same as looking at every pair."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from striate.data.nearduplicates import NearDuplicates, near_duplicates
from striate.data.record import small
from tests.data.pictures import Array, drawn


def again(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file, formats=["JPEG"])


def cropped(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    w, h = picture.size
    return picture.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved at quality 30": lambda p: again(p, 30),
    "saved at quality 95": lambda p: again(p, 95),
    "half the size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "larger": lambda p: p.resize((int(p.width * 1.7), int(p.height * 1.7)), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
    "cropped in the middle": lambda p: cropped(p, 0.025, 0.025, 0.025, 0.025),
    "cropped at two sides": lambda p: cropped(p, 0.05, 0.0, 0.0, 0.03),
    "cropped all around": lambda p: cropped(p, 0.05, 0.05, 0.05, 0.05),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "mirrored, cropped, saved at 50": lambda p: again(ImageOps.mirror(cropped(p, 0.0, 0.05, 0.05, 0.0)), 50),
}


def smalls(pictures: list[Image.Image]) -> tuple[Array, Array]:
    made = [small(np.asarray(picture.convert("RGB"))) for picture in pictures]
    return np.stack([thumb for thumb, _ in made]), np.stack([colour for _, colour in made])


def search(pictures: list[Image.Image]) -> NearDuplicates:
    return near_duplicates(*smalls(pictures))


ORIGINALS = [Image.fromarray(drawn(seed, 96, 128)) for seed in range(120)]


def test_no_two_drawn_pictures_are_taken_for_one() -> None:
    found = search(ORIGINALS)
    assert found.pairs.tolist() == []
    assert found.compared == len(ORIGINALS)
    assert found.complete


@pytest.mark.parametrize("change", ALTERED)
def test_every_altered_copy_is_paired_with_its_original_and_nothing_else(change: str) -> None:
    chosen = range(0, 120, 3)
    found = search([*ORIGINALS, *(ALTERED[change](ORIGINALS[i]) for i in chosen)])
    assert found.pairs.tolist() == [[i, 120 + k] for k, i in enumerate(chosen)]
    assert found.mirrored.tolist() == [change.startswith("mirrored")] * len(chosen)
    assert (found.likeness >= 0.9).all()


def test_the_order_of_the_images_does_not_matter() -> None:
    pictures = [*ORIGINALS[:60], *(again(p, 40) for p in ORIGINALS[:20])]
    order = np.random.default_rng(0).permutation(80)
    found = {tuple(pair) for pair in search(pictures).pairs.tolist()}
    shuffled = search([pictures[i] for i in order]).pairs
    assert {tuple(sorted((int(order[a]), int(order[b])))) for a, b in shuffled.tolist()} == found


def test_pictures_in_other_colours_are_other_pictures() -> None:
    green = [Image.fromarray(np.asarray(p)[:, :, [1, 0, 2]]) for p in ORIGINALS[:30]]
    tinted = [Image.fromarray((np.asarray(p) * [1.0, 0.55, 0.55]).astype(np.uint8)) for p in ORIGINALS[:30]]
    assert len(search([*ORIGINALS[:30], *tinted]).pairs) == 0
    assert len(search([*ORIGINALS[:30], *green]).pairs) == 0


def test_a_common_frame_makes_no_common_picture() -> None:
    framed = []
    for picture in ORIGINALS[:20]:
        frame = Image.new("RGB", (160, 120), (250, 250, 250))
        frame.paste((20, 20, 20), (20, 15, 140, 105))
        frame.paste(picture.resize((100, 75)).point(lambda v: v // 3), (30, 22))
        framed.append(frame)
    assert len(search(framed).pairs) == 0


def test_flat_pictures_are_not_compared() -> None:
    flat = [Image.new("RGB", (40, 40), (i, i, i)) for i in range(0, 250, 10)]
    found = search(flat)
    assert (len(found.pairs), found.compared) == (0, 0)


def test_few_or_no_images_are_no_trouble() -> None:
    for n in (0, 1, 2):
        thumbs, colours = smalls(ORIGINALS[:3])
        assert len(near_duplicates(thumbs[:n], colours[:n]).pairs) == 0


def test_a_set_in_which_all_are_alike_ends_and_says_so() -> None:
    rng = np.random.default_rng(1)
    base = np.asarray(drawn(5, 32, 32, channels=1))[:, :, 0].astype(float)
    thumbs = np.clip(base + rng.normal(0, 30, (300, 32, 32)), 0, 255).astype(np.uint8)  # 44,850 alike pairs
    found = near_duplicates(thumbs, np.full((300, 4, 4, 3), 100, np.uint8))
    assert not found.complete


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[int, int]] = []
    near_duplicates(*smalls(ORIGINALS), lambda done, of: seen.append((done, of)))
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.slow
def test_of_photographs_99_percent_of_altered_copies_are_found_at_a_thousandth_of_false_pairs(shared: Path) -> None:
    files = sorted((shared / "data" / "cats_dogs").rglob("*.jpg")) + sorted(
        (shared / "data" / "imagenet_samples" / "images").rglob("*.jpg")
    )
    pictures = [Image.open(file, formats=["JPEG"]).convert("RGB") for file in files]
    chosen = range(0, len(pictures), 10)
    thumbs, colours = smalls(pictures)
    known = {tuple(pair) for pair in near_duplicates(thumbs, colours).pairs.tolist()}
    assert len(known) <= 1  # one photograph is there twice
    for change, alter in ALTERED.items():
        more, tints = smalls([alter(pictures[i]) for i in chosen])
        pairs = near_duplicates(np.concatenate([thumbs, more]), np.concatenate([colours, tints])).pairs.tolist()
        found, wanted = {tuple(pair) for pair in pairs}, {(i, len(pictures) + k) for k, i in enumerate(chosen)}
        assert len(found & wanted) >= 0.99 * len(wanted), change
        assert len(found - wanted - known) <= 0.001 * len(wanted), change


@pytest.mark.slow
def test_fifty_thousand_images_are_compared_in_minutes() -> None:
    import time

    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (50_000, 8, 8), dtype=np.uint8)
    thumbs = coarse.repeat(4, axis=1).repeat(4, axis=2)
    thumbs[40_000:40_500] = np.clip(thumbs[:500].astype(int) * 0.8 + rng.normal(0, 4, (500, 32, 32)), 0, 255)
    start = time.process_time()
    found = near_duplicates(thumbs, np.full((50_000, 4, 4, 3), 128, np.uint8))
    assert time.process_time() - start < 300
    assert found.pairs.tolist() == [[i, 40_000 + i] for i in range(500)]
