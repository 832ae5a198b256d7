"""The run folder: what is written is read back, and whatever does not belong together is refused with the reason."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, UnknownName
from striate.models.registry import create_model
from striate.run.folder import (
    CONFIG,
    MODEL,
    Identity,
    ModelSpec,
    Run,
    class_index,
    load_into,
    read_about,
    read_json,
    read_model,
    write_identity,
    write_model,
)

ARGUMENTS = {"num_classes": 3, "in_chans": 1, "input_size": (32, 32)}
GRAY = Preprocess(size=(32, 32), order="gray", mean=(0.5,), std=(0.25,))
IDENTITY = Identity(ModelSpec("lenet5", ARGUMENTS), ("cat", "dog", "naïve 猫"), GRAY)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with random weights."""
    torch.manual_seed(0)
    folder = tmp_path / "run"
    folder.mkdir()
    write_identity(folder, IDENTITY, {"machine": {"threads": 1}, "data": {"name": "x"}})
    write_model(folder / MODEL, create_model("lenet5", **ARGUMENTS).state_dict(), IDENTITY, {"epoch": 4})
    return folder


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    value = read_json(path)
    path.write_text(json.dumps(edit(value) or value), encoding="utf-8")


def test_what_is_written_is_read_back(run: Path) -> None:
    found = Run(run)
    assert found.identity == IDENTITY
    assert found.name == "run"
    assert found.classes == ("cat", "dog", "naïve 猫")
    assert found.preprocess == GRAY
    assert found.config["machine"] == {"threads": 1}
    assert read_about(run / MODEL) == {"epoch": 4}
    assert Run(str(run)).identity == IDENTITY


def test_the_network_comes_back_with_its_numbers_ready_to_be_asked(run: Path) -> None:
    torch.manual_seed(0)
    expected = create_model("lenet5", **ARGUMENTS).eval()
    module = Run(run).load_module()
    assert not any(m.training for m in module.modules())
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(module(images), expected(images))


def test_the_preprocessing_is_also_there_to_be_read_by_people(run: Path) -> None:
    written = read_json(run / "preprocess.json")
    assert written.pop("sentence") == GRAY.describe()
    assert Preprocess.from_json(written) == GRAY


def test_the_name_of_a_run_is_that_of_its_folder_wherever_it_is_seen_from(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert Run(Path()).name == "run"


# -- no run ------------------------------------------------------------------------------------------------------------


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path / "nothing", "no such folder"),
        (tmp_path / "file", "no such folder"),
        (tmp_path, CONFIG),
    ):
        with pytest.raises(ArtefactError, match=said) as caught:
            Run(path)
        assert str(path) in str(caught.value)


def test_a_run_that_was_stopped_early_says_how_to_go_on(run: Path) -> None:
    (run / MODEL).unlink()
    with pytest.raises(ArtefactError, match="--resume"):
        Run(run).load_module()


@pytest.mark.parametrize("text", ["", "{", "\x00", "[1,", "nul", "[" * 100_000])
def test_a_file_that_is_not_json_is_named(run: Path, text: str) -> None:
    (run / CONFIG).write_text(text)
    with pytest.raises(ArtefactError, match="not valid JSON") as caught:
        Run(run)
    assert str(run / CONFIG) in str(caught.value)


def test_bytes_that_are_not_text_and_folders_are_named(run: Path) -> None:
    (run / CONFIG).write_bytes(b"\xff\xfe{}")
    with pytest.raises(ArtefactError, match=CONFIG):
        Run(run)
    with pytest.raises(ArtefactError, match="can't be read"):
        read_json(run)


WRONG: list[tuple[str, Callable[[Any], Any]]] = [
    ("found", lambda c: c.update(classes="abc")),
    ("found", lambda c: c.update(classes=[])),
    ("found", lambda c: c.update(classes=None)),
    ("found", lambda c: c.update(classes=["cat", 3])),
    ("found", lambda c: c.update(classes={"cat": 0})),
    ("same name", lambda c: c.update(classes=["cat", "cat", "dog"])),
    ("classes", lambda c: c.__delitem__("classes")),
    ("format", lambda c: c.__delitem__("format")),
    ("newer Striate", lambda c: c.update(format=2)),
    ("not what", lambda c: c.update(format="1")),
    ("not what", lambda c: c.update(format=None)),
    ("model", lambda c: c.__delitem__("model")),
    ("not what", lambda c: c.update(model="lenet5")),
    ("arguments", lambda c: c["model"].__delitem__("arguments")),
    ("not what", lambda c: c["model"].update(arguments=[1])),
    ("preprocess", lambda c: c.__delitem__("preprocess")),
    ("preprocess", lambda c: c["preprocess"].update(resize="squash")),
    ("preprocess", lambda c: c["preprocess"].__delitem__("mean")),
    ("preprocess", lambda c: c.update(preprocess=None)),
    ("not what", lambda _: [1, 2]),
    ("not what", lambda _: "text"),
    ("not what", lambda _: 7),
]


@pytest.mark.parametrize(("said", "edit"), WRONG)
def test_a_config_that_training_does_not_write_is_refused_by_file_and_reason(
    run: Path, said: str, edit: Callable[[Any], Any]
) -> None:
    change(run / CONFIG, edit)
    with pytest.raises(ArtefactError, match=said) as caught:
        Run(run)
    assert str(caught.value).count(str(run / CONFIG)) == 1


MIXED: list[Callable[[Any], Any]] = [
    lambda c: c["classes"].reverse(),
    lambda c: c["classes"].append("bird"),
    lambda c: c["model"].update(name="deck_mnist_convnet"),
    lambda c: c["model"]["arguments"].update(num_classes=4),
    lambda c: c["model"]["arguments"].update(extra=1),
    lambda c: c["preprocess"].update(fill=9),
]


@pytest.mark.parametrize("edit", MIXED)
def test_weights_of_another_run_are_refused(run: Path, edit: Callable[[Any], Any]) -> None:
    """Among them classes in another order, which would give every answer a wrong name."""
    change(run / CONFIG, edit)
    with pytest.raises(ArtefactError, match="disagree"):
        Run(run).load_module()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("no_such_model", ARGUMENTS),
        ("lenet5", {**ARGUMENTS, "depth": 3}),
        ("lenet5", {**ARGUMENTS, "num_classes": "3"}),
        ("lenet5", {**ARGUMENTS, "input_size": (4, 4)}),
        ("lenet5", {**ARGUMENTS, "input_size": "ab"}),
    ],
)
def test_a_model_that_can_not_be_built_is_refused(run: Path, name: str, arguments: dict[str, Any]) -> None:
    identity = Identity(ModelSpec(name, arguments), IDENTITY.classes, GRAY)
    write_identity(run, identity, {})
    write_model(run / MODEL, {}, identity, {})
    with pytest.raises(ArtefactError, match="can't be built"):
        Run(run).load_module()


def test_damaged_weights_are_refused(run: Path) -> None:
    data = bytearray((run / MODEL).read_bytes())
    data[-5] ^= 1
    (run / MODEL).write_bytes(data)
    with pytest.raises(ArtefactError, match="SHA-256"):
        Run(run).load_module()


# -- weights into a network --------------------------------------------------------------------------------------------


def damaged(**changes: Any) -> dict[str, torch.Tensor]:
    tensors = dict(create_model("lenet5", **ARGUMENTS).state_dict())
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    return tensors


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"C1__weight": None}, "C1.weight is missing"),
        ({"C9__weight": torch.zeros(1)}, "C9.weight is not in the model"),
        ({"C1__bias": torch.zeros(7)}, r"C1.bias is \(7,\), the model has \(6,\)"),
        ({"F6__weight": torch.zeros(120, 84)}, r"F6.weight is \(120, 84\), the model has \(84, 120\)"),
        ({"C1__bias": torch.full((6,), float("nan"))}, "C1.bias holds values that are not finite"),
        ({"C1__bias": torch.full((6,), float("inf"))}, "C1.bias holds values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name_and_the_network_stays_as_it_was(
    changes: dict[str, Any], said: str
) -> None:
    module = create_model("lenet5", **ARGUMENTS)
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ArtefactError, match=said) as caught:
        load_into(module, damaged(**changes), Path("some/file"))
    assert "some/file" in str(caught.value)
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())


def test_a_long_list_of_differences_is_cut_short() -> None:
    with pytest.raises(ArtefactError, match="and 9 more") as caught:
        load_into(create_model("lenet5", **ARGUMENTS), damaged(**dict.fromkeys(
            ("C1__weight", "C1__bias", "C3__weight", "C3__bias", "C5__weight", "C5__bias", "F6__weight", "F6__bias",
             "output__weight", "output__bias"), None), a=torch.zeros(1), b=torch.zeros(1), c=torch.zeros(1),
            d=torch.zeros(1)), Path("f"))  # fmt: skip
    assert len(str(caught.value)) < 300


def test_a_weights_file_alone_knows_whose_it_is(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((run / MODEL).read_bytes())
    tensors, identity = read_model(alone)
    assert identity == IDENTITY
    load_into(identity.spec.build(), tensors, alone)


def test_a_class_is_found_by_name() -> None:
    assert class_index(("cat", "dog"), "dog") == 1
    with pytest.raises(UnknownName, match="did you mean 'dog'"):
        class_index(("cat", "dog"), "dogs")
    with pytest.raises(UnknownName, match="the classes are cat, dog"):
        class_index(("cat", "dog"), "zebra")
