"""From a run and data to the three files: the right images, honest about them, nothing of the machine in them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image

from striate import durable
from striate.data.dataset import Dataset
from striate.data.preprocess import Preprocess
from striate.data.screen import screen
from striate.data.sources import open_dataset
from striate.errors import ArtefactError, Busy, DatasetError, UnknownName, UsageError
from striate.evaluation.facts import called, without_places
from striate.evaluation.job import CARD, PAGE, PREDICTIONS, evaluate
from striate.evaluation.metrics import measure
from striate.evaluation.predictions import load
from striate.run.folder import Identity, ModelSpec, write_identity, write_model

CLASSES = ("blue", "green", "red")
PREPROCESS = Preprocess(size=(32, 32), resize="stretch", order="rgb", mean=(0.5,) * 3, std=(0.25,) * 3)


def paint(folder: Path, splits: dict[str, int], seed: int = 0) -> Path:
    """A folder of noisy one-coloured images."""
    rng = np.random.default_rng(seed)
    for split, n in splits.items():
        for c, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 120, size=(20, 24, 3), dtype=np.uint8)
                pixels[..., 2 - c] += 80
                Image.fromarray(pixels).save(place / f"{i:02d}.png")
    return folder


def make_run(folder: Path, data: Path | str, seed: int = 0, classes: tuple[str, ...] = CLASSES, **recipe: Any) -> Path:
    """A run as training leaves it, with the weights it began with."""
    folder.mkdir(parents=True)
    arguments = {"num_classes": len(classes), "in_chans": 3, "input_size": (32, 32)}
    identity = Identity(ModelSpec("lenet5", arguments), classes, PREPROCESS)
    screened = screen(open_dataset(str(data), seed=0))
    dataset = screened.dataset
    counts = {role: dict(zip(dataset.classes, dataset.counts(role).tolist(), strict=True)) for role in dataset.splits}
    facts = {"name": called(data), "sha256": screened.fingerprint.sha256, "counts": counts}
    facts["quarantined"] = [{"key": q.key, "role": q.role, "reason": q.reason} for q in screened.quarantined]
    write_identity(folder, identity, {"data": facts, "machine": {"name": "A processor", "threads": 2, "torch": "2"}})
    torch.manual_seed(seed)
    about = {
        "epoch": 2,
        "val_loss": 0.5,
        "val_accuracy": 0.9 if "val" in dataset.splits else None,
        "rule": "highest val accuracy",
    }
    write_model(folder / "model.safetensors", identity.spec.build().state_dict(), identity, about)
    settings = {
        "model": "lenet5",
        "data": str(data),
        "seed": 0,
        "val_share": 0.1,
        "group_by": "",
        "epochs": 2,
        "batch": 8,
    }
    (folder / "recipe.toml").write_text(
        tomli_w.dumps(settings | {"optimizer": "adamw", "lr": 0.1, "augment": "none"} | recipe)
    )
    (folder / "results.csv").write_text(
        "epoch,step,lr,train_loss,train_accuracy,val_loss,val_accuracy,best\n1,3,0.1,1.1,0.3,1.0,,1\n2,6,0.1,1,0.4,0.9,0.9,1\n"
    )
    (folder / "timing.jsonl").write_text('{"epoch": 1, "seconds": 2.0, "val_seconds": 0.5, "images": 30}\n' * 2)
    return folder


Place = Callable[..., tuple[Path, Path]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A run and its data: `place(train=6, val=3, test=4)`."""

    def make(**splits: int) -> tuple[Path, Path]:
        data = paint(tmp_path / "user" / "colours", splits)
        return make_run(tmp_path / "runs" / "first", data), data

    return make


def test_three_files_are_written_and_the_predictions_give_the_card(place: Place) -> None:
    run, _ = place(train=6, val=3, test=4)
    card = evaluate(run)
    assert {PREDICTIONS, CARD, PAGE} <= {path.name for path in run.iterdir()}
    predictions = load(run / PREDICTIONS)
    assert (predictions.role, len(predictions), predictions.classes) == ("test", 12, CLASSES)
    assert measure(predictions).accuracy == card.metrics.accuracy
    written = json.loads((run / CARD).read_text())
    assert written == card.to_json()
    assert written["data"]["counts"] == {
        "train": dict.fromkeys(CLASSES, 6), "val": dict.fromkeys(CLASSES, 3), "test": dict.fromkeys(CLASSES, 4)
    }  # fmt: skip
    assert written["data"]["same_as_in_training"] is True
    assert written["data"]["seen_in_training"] == 0
    assert written["calibration"]["temperature"] is not None, "there is a val split to fit it on"
    assert written["model"]["training_s"] == 5.0
    assert len(written["curves"]) == 2
    assert card.headline.split(":")[0] in (run / PAGE).read_text()
    assert [path.name for path in run.iterdir() if path.name.startswith(durable.PREFIX)] == []


def test_two_evaluations_give_the_same_bytes(place: Place, tmp_path: Path) -> None:
    run, _ = place(train=6, val=3, test=4)
    evaluate(run, out=tmp_path / "one", batch=5)
    evaluate(run, out=tmp_path / "two", batch=5, workers=2)
    for name in (PREDICTIONS, CARD, PAGE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert not (run / CARD).exists(), "with another folder the run stays as it was"


def test_nothing_tells_where_on_the_machine_it_happened(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data = place(train=6, val=3, test=4)

    def noted(*arguments: Any, **options: Any) -> Dataset:
        return replace(open_dataset(*arguments, **options), notes=(f"Read from {tmp_path / 'deep' / 'inside'}.",))

    monkeypatch.setattr("striate.evaluation.opening.open_dataset", noted)
    (data / "test" / "red" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\ncut")
    card = evaluate(run)
    assert len(card.facts.quarantined) == 1
    for name in (PREDICTIONS, CARD, PAGE):
        text = (run / name).read_text()
        for secret in (tmp_path, Path.home(), Path.cwd(), data.parent):
            assert str(secret) not in text, name
    assert "colours" in (run / PAGE).read_text()
    assert "Read from inside." in (run / PAGE).read_text()


def test_without_a_test_split_val_is_taken_with_a_caution(place: Place) -> None:
    run, _ = place(train=6, val=3)
    card = evaluate(run)
    assert card.role == "val"
    assert card.cautions[0].kind == "chosen"
    assert "epoch 2 of 2, highest val accuracy" in card.cautions[0].text
    assert card.temperature is None


def test_train_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    data = paint(tmp_path / "colours", {"train": 4, "val": 2, "test": 2})
    run = make_run(tmp_path / "run", data, val_share=0.0)
    shutil.rmtree(data / "val")
    shutil.rmtree(data / "test")
    with pytest.raises(UsageError, match="only images that the network was trained on"):
        evaluate(run)
    card = evaluate(run, split="train")
    assert card.cautions[0].kind == "trained"
    assert card.cautions[0].grave


def test_a_split_that_is_not_there_or_not_a_split_is_refused(place: Place) -> None:
    run, _ = place(train=6, val=3)
    with pytest.raises(DatasetError, match="no 'test' split"):
        evaluate(run, split="test")
    with pytest.raises(UsageError, match="no split is called 'tset'; they are train, val, test"):
        evaluate(run, split="tset")


def test_data_that_changed_since_training_are_noticed(place: Place) -> None:
    run, data = place(train=6, val=3, test=4)
    shutil.copy(data / "test" / "red" / "01.png", data / "test" / "red" / "99.png")
    card = evaluate(run)
    assert card.facts.same_data is False
    assert "changed" in [one.kind for one in card.cautions]


def test_test_images_that_are_also_training_images_are_counted(tmp_path: Path) -> None:
    data = paint(tmp_path / "colours", {"train": 6, "val": 3, "test": 4})
    for i in range(3):
        shutil.copy(data / "train" / "red" / f"{i:02d}.png", data / "test" / "red" / f"leak{i}.png")
    card = evaluate(make_run(tmp_path / "run", data))
    assert card.facts.seen_in_training == 3
    assert card.cautions[0].kind == "leak"
    assert card.cautions[0].text.startswith("3 of these 15 images are also")


def test_other_data_are_evaluated_as_such(place: Place, tmp_path: Path) -> None:
    run, _ = place(train=6, val=3, test=4)
    other = paint(tmp_path / "elsewhere", {"test": 5}, seed=9)
    shutil.rmtree(other / "test" / "green")
    card = evaluate(run, other)
    assert (card.metrics.images, card.role) == (10, "test")
    assert (card.facts.data, card.facts.trained_on) == ("elsewhere", "colours")
    assert card.facts.same_data is None
    assert card.facts.seen_in_training is None
    assert [one.kind for one in card.cautions if one.kind == "absent"] == ["absent"]
    assert [score.images for score in card.metrics.classes] == [5, 0, 5]


def test_a_copy_of_the_training_data_is_recognised_wherever_it_lies(tmp_path: Path) -> None:
    data = paint(tmp_path / "colours", {"": 20})  # nobody divided it: training set some apart
    run = make_run(tmp_path / "run", data)
    moved = tmp_path / "moved" / "elsewhere"
    moved.parent.mkdir()
    data.replace(moved)
    with pytest.raises((DatasetError, UnknownName), match="if it lies elsewhere now, say where: striate evaluate"):
        evaluate(run)
    card = evaluate(run, moved)
    assert card.facts.same_data is True
    assert card.role in {"test", "val"}
    assert card.metrics.images < 60, "never the images that it was trained on"


def test_classes_that_the_network_does_not_know_are_named(place: Place, tmp_path: Path) -> None:
    run, _ = place(train=6, val=3, test=4)
    other = paint(tmp_path / "elsewhere", {"test": 2})
    (other / "test" / "red").rename(other / "test" / "rde")
    with pytest.raises(DatasetError, match="'rde'"):
        evaluate(run, other)


def test_another_run_is_shown_beside_with_what_differs(place: Place, tmp_path: Path) -> None:
    run, data = place(train=6, val=3, test=4)
    other = make_run(tmp_path / "runs" / "second", data, seed=1, augment="hflip")
    card = evaluate(run, compare=[other])
    assert [one.name for one in card.compared] == ["second"]
    assert card.compared[0].paired.images == 12
    assert card.compared[0].differs == (("augment", "none", "hflip"),)
    assert "second" in (run / PAGE).read_text()


def test_a_run_with_its_classes_in_another_order_is_compared_by_name(place: Place, tmp_path: Path) -> None:
    run, data = place(train=6, val=3, test=4)
    other = make_run(tmp_path / "turned", data, classes=CLASSES[::-1])
    card = evaluate(run, compare=[other])
    p = card.compared[0].paired
    assert p.both + p.only_second == card.compared[0].metrics.right


def test_mistakes_come_with_pictures_and_evidence(place: Place) -> None:
    run, _ = place(train=6, val=3, test=4)
    card = evaluate(run, images=2)
    assert len(card.wrong) == min(2, card.metrics.images - card.metrics.right)
    for one in (*card.wrong, *card.unsure):
        assert one.image
        assert one.evidence
        assert one.layer == "tanh4"  # what the registry says of lenet5
    assert evaluate(run, images=0).wrong == ()


def test_progress_is_told(place: Place) -> None:
    run, _ = place(train=6, val=3, test=4)
    heard: dict[str, tuple[int, int]] = {}
    evaluate(run, progress=lambda what, done, of: heard.update({what: (done, of)}))
    assert heard["answering"] == (12, 12)
    assert heard["reading images"] == (39, 39)


def test_a_folder_that_is_no_run_or_is_being_written_is_refused(place: Place, tmp_path: Path) -> None:
    run, _ = place(train=6, val=3, test=4)
    with pytest.raises(ArtefactError, match="not a run"):
        evaluate(tmp_path)
    with durable.lock(run), pytest.raises(Busy):
        evaluate(run)
    (run / "results.csv").write_text("epoch,val_loss\n1,many\n")
    with pytest.raises(ArtefactError, match=r"results\.csv: not what"):
        evaluate(run)


def test_a_run_without_a_record_of_its_training_can_still_be_evaluated(place: Place) -> None:
    run, data = place(train=6, val=3, test=4)
    for name in ("recipe.toml", "results.csv", "timing.jsonl"):
        (run / name).unlink()
    with pytest.raises(UsageError, match="does not say what it was trained on"):
        evaluate(run)
    card = evaluate(run, data)
    assert card.curves == ()
    assert card.facts.recipe == {}
    assert card.metrics.images == 12


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("/home/ada/pets/cat/1.jpg: cut off", "cat/1.jpg: cut off"),
        ("Read from /home/ada/pets.", "Read from pets."),
        ("see /etc/secret/deep/file.png, or ask", "see file.png, or ask"),
        ("1/2 of it, and/or a ratio of 3/4", "1/2 of it, and/or a ratio of 3/4"),
        ("https://example.org/a/b stays", "https://example.org/a/b stays"),
    ],
)
def test_places_are_taken_out_of_sentences(text: str, want: str) -> None:
    assert without_places(text, [Path("/home/ada/pets")]) == want


def test_the_dataset_that_is_evaluated_is_not_changed(place: Place) -> None:
    run, data = place(train=6, val=3, test=4)

    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}

    before = state()
    evaluate(run)
    assert state() == before
    assert isinstance(open_dataset(str(data)), Dataset)
