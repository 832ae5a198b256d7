"""Weights that have a name, and a folder or a file that happens to be called so."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from striate.errors import UnknownName
from striate.models import published
from striate.models.published import ENVIRONMENT, choose
from striate.training.job import train
from striate.training.recipe import read
from striate.training.transfer.source import located, open_source
from striate.training.transfer.transferability import transferability
from tests.training.runs import Listener, options

HEAD: dict[str, Any] = {"freeze": "head", "epochs": 1}


def test_a_folder_of_images_that_is_called_imagenet_is_not_taken_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet" / "cat").mkdir(parents=True)
    assert located("imagenet") == "imagenet"
    with pytest.raises(UnknownName, match="no imagenet weights are published for lenet5"):
        open_source("lenet5", "imagenet")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_name_goes_first_and_a_note_says_how_to_write_the_path(
    shared: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    one = replace(choose("cifar_resnet20", "cifar10"), file="stored.safetensors", sha256="", md5="")
    monkeypatch.setattr(published, "catalogue", lambda: (one,))
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "cache"))
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    shutil.copy(
        shared / "weights" / "cifar10_resnet20_akamaster.safetensors", tmp_path / "cache" / "weights" / one.file
    )
    monkeypatch.chdir(tmp_path)
    if kind == "folder":
        shutil.copytree(finished, "cifar10")
    else:
        shutil.copy(finished / "model.safetensors", "cifar10")
    found = open_source("cifar_resnet20", "cifar10")
    assert found.publication is one
    assert f"weights = 'cifar10' is a name; for the {kind} that is called so here, write ./cifar10" in found.notes


def test_a_run_that_is_called_as_published_weights_is_taken_by_its_path(
    finished: Path, two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "imagenet")
    for out, weights in (("a", "./imagenet"), ("b", Path("imagenet"))):
        listener = Listener()
        run = train(two_classes, out=tmp_path / out, options=options(), report=listener, weights=weights, **HEAD).run
        assert run.identity.spec.name == "test_norm"
        assert not [note for note in listener.notes if "is a name" in note]
        assert read(run.folder / "recipe.toml").weights == str(tmp_path / "imagenet")
    study = transferability("imagenet", str(two_classes), tmp_path / "study", places=["conv2"], options=options(),
                            settings={"epochs": 1})  # fmt: skip
    assert study.model == "test_norm"
