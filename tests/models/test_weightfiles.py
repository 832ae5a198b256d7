"""Weights files of every kind and in every wrapping; damaged and hostile ones are refused by name."""

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from striate.errors import ArtefactError, MissingExtra
from striate.models.weightfiles import read_weights

STATE = OrderedDict([("conv.weight", torch.arange(12.0).reshape(2, 1, 2, 3)), ("fc.bias", torch.tensor([1.0, -1.0]))])


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


WRAPPINGS: dict[str, Any] = {
    "a state_dict": STATE,
    "a dict": dict(STATE),
    "under state_dict": {"state_dict": STATE, "epoch": 3, "best_prec1": 91.5},
    "under model": {"model": STATE, "optimizer": {"lr": 0.1, "state": {}}},
    "under model_state_dict": {"model_state_dict": STATE},
    "of DataParallel": prefixed("module."),
    "of torch.compile": prefixed("_orig_mod."),
    "of both": prefixed("_orig_mod.module."),
    "of Lightning": {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.6"},
    "compiled inside": {"conv._orig_mod.weight": STATE["conv.weight"], "fc.bias": STATE["fc.bias"]},
    "averaged": {"model_ema": {"n_averaged": torch.tensor(3)} | prefixed("module."), "model": {"x": torch.zeros(1)}},
    "parameters": {name: nn.Parameter(tensor) for name, tensor in STATE.items()},
}


@pytest.mark.parametrize("what", WRAPPINGS)
def test_what_is_around_the_tensors_is_taken_off(what: str, tmp_path: Path) -> None:
    torch.save(WRAPPINGS[what], tmp_path / "x.pth")
    assert same(read_weights(tmp_path / "x.pth").tensors, STATE)


@pytest.mark.parametrize("suffix", [".pt", ".th", ".bin", ".PTH"])
def test_pytorchs_files_have_several_endings(suffix: str, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / f"x{suffix}")
    assert same(read_weights(tmp_path / f"x{suffix}").tensors, STATE)


def test_a_moving_average_is_preferred_and_the_report_can_say_so(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1)}, "state_dict_ema": {"w": torch.ones(1)}}, tmp_path / "x.pth")
    found = read_weights(tmp_path / "x.pth")
    assert found.tensors["w"].item() == 1
    assert found.within == "state_dict_ema"


def test_a_prefix_that_not_all_names_have_is_a_part_of_the_model(tmp_path: Path) -> None:
    save_file({"model.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert set(read_weights(tmp_path / "x.safetensors").tensors) == {"model.a", "b"}


class Hostile:
    """A pickle of this makes a folder when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("how", ["zip", "pickle", "within"])
def test_code_in_a_pth_file_is_refused_and_not_run(how: str, tmp_path: Path) -> None:
    path, place = tmp_path / "x.pth", tmp_path / "ran"
    match how:
        case "zip":
            torch.save(Hostile(place), path)
        case "within":
            torch.save({"state_dict": STATE, "args": Hostile(place)}, path)
        case "pickle":
            path.write_bytes(pickle.dumps(Hostile(place)))
    with pytest.raises(ArtefactError, match=r"x\.pth"):
        read_weights(path)
    assert not place.exists()


def test_the_object_that_is_not_a_tensor_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "x.pth")
    with pytest.raises(ArtefactError, match=r"more than tensors \(argparse.Namespace\).*refused"):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".h5"])
@pytest.mark.parametrize("damage", ["absent", "empty", "text", "zeros", "folder", "json"])
def test_a_damaged_file_is_named(damage: str, suffix: str, tmp_path: Path) -> None:
    if suffix == ".h5":
        pytest.importorskip("h5py", reason="needs striate[keras-weights]")
    path = tmp_path / f"damaged{suffix}"
    content = {"empty": b"", "text": b"not weights", "zeros": bytes(5000), "json": b'{"weights": 1}'}
    if damage == "folder":
        path.mkdir()
    elif damage != "absent":
        path.write_bytes(content[damage])
    with pytest.raises(ArtefactError, match=r"damaged\."):
        read_weights(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), cut=st.booleans(), byte=st.integers(0, 255), kind=st.sampled_from([".pth", ".safetensors"]))
def test_whatever_is_damaged_it_is_read_or_refused(at: float, cut: bool, byte: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{kind}"
    torch.save(dict(STATE), path) if kind == ".pth" else save_file(dict(STATE), path)
    content = bytearray(path.read_bytes())
    place = min(int(at * len(content)), len(content) - 1)
    if cut:
        del content[place:]
    else:
        content[place] = byte
    path.write_bytes(content)
    try:
        found = read_weights(path).tensors
    except ArtefactError as error:
        found, said = {}, str(error)
        assert path.name in said
    assert all(isinstance(t, Tensor) for t in found.values())


@pytest.mark.parametrize("found", [torch.zeros(2), [STATE], {"epoch": 3}, {"state_dict": {"lr": 0.1}}, {}, 7])
def test_a_file_without_named_tensors_is_refused(found: Any, tmp_path: Path) -> None:
    torch.save(found, tmp_path / "x.pth")
    with pytest.raises(ArtefactError, match="no named tensors"):
        read_weights(tmp_path / "x.pth")


def test_a_tensor_that_is_none_of_the_usual_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3).to_sparse()}, tmp_path / "x.pth")
    with pytest.raises(ArtefactError, match=r"x\.pth"):
        read_weights(tmp_path / "x.pth")


def test_a_zip_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ArtefactError, match=r"x\.pth"):
        read_weights(tmp_path / "x.pth")


def test_another_kind_of_file_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"x")
    with pytest.raises(ArtefactError, match=r"\.safetensors, \.pth"):
        read_weights(tmp_path / "x.onnx")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "x.h5").write_bytes(b"x")
    with pytest.raises(MissingExtra, match=r"striate\[keras-weights\]"):
        read_weights(tmp_path / "x.h5")


class TestKerasFiles:
    """HDF5 as Keras writes it: groups of layers, each with a list of its weights."""

    LAYERS: ClassVar[dict[str, dict[str, tuple[int, ...]]]] = {
        "conv1": {"conv1/kernel:0": (3, 3, 3, 8)},
        "conv1_bn": {f"conv1_bn/{part}:0": (8,) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
        "relu": {},
        "old": {"old_W_1:0": (8, 4), "old_b_1:0": (4,)},
        "normalization": {"normalization/count:0": ()},
    }  # fmt: skip

    def write(self, path: Path, root: str = "") -> None:
        h5py = pytest.importorskip("h5py", reason="needs striate[keras-weights]")
        with h5py.File(path, "w") as file:
            top = file.create_group(root) if root else file
            top.attrs["layer_names"] = [name.encode() for name in self.LAYERS]
            for layer, weights in self.LAYERS.items():
                group = top.create_group(layer)
                group.attrs["weight_names"] = [name.encode() for name in weights]
                for name, shape in weights.items():
                    group.create_dataset(name, data=torch.randn(shape).numpy())

    @pytest.mark.parametrize("root", ["", "model_weights"])
    def test_layers_and_parts_are_found(self, root: str, tmp_path: Path) -> None:
        self.write(tmp_path / "x.h5", root)
        found = read_weights(tmp_path / "x.h5")
        assert found.form == "keras"
        assert {name: tuple(t.shape) for name, t in found.tensors.items()} == {
            "conv1/kernel": (3, 3, 3, 8), "conv1_bn/gamma": (8,), "conv1_bn/beta": (8,), "conv1_bn/moving_mean": (8,),
            "conv1_bn/moving_variance": (8,), "old/kernel": (8, 4), "old/bias": (4,),
            "normalization/normalization/count:0": (),
        }  # fmt: skip

    @pytest.mark.parametrize("trick", ["external link", "soft link", "external storage", "virtual", "text", "huge"])
    def test_what_leads_out_of_the_file_or_is_no_array_is_refused(self, trick: str, tmp_path: Path) -> None:
        self.write(tmp_path / "other.h5")
        self.write(tmp_path / "x.h5")
        h5py = pytest.importorskip("h5py")
        name = "conv1/kernel:0"
        with h5py.File(tmp_path / "x.h5", "r+") as file:
            group = file["conv1"]
            del group[name]
            match trick:
                case "external link":
                    group[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/conv1/conv1/kernel:0")
                case "soft link":
                    group[name] = h5py.SoftLink("/conv1_bn/conv1_bn/gamma:0")
                case "external storage":
                    (tmp_path / "secret").write_bytes(bytes(864))
                    group.create_dataset(name, (3, 3, 3, 8), "f4", external=[(str(tmp_path / "secret"), 0, 864)])
                case "virtual":
                    layout = h5py.VirtualLayout((3, 3, 3, 8), "f4")
                    layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "conv1/conv1/kernel:0", (3, 3, 3, 8))
                    group.create_virtual_dataset(name, layout)
                case "text":
                    group.create_dataset(name, data="print(1)")
                case "huge":
                    group.create_dataset(name, (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))
        with pytest.raises(ArtefactError, match=r"x\.h5.*(link|another file|not an array|far more)"):
            read_weights(tmp_path / "x.h5")

    def test_keras_3_numbers_layers_and_is_told_apart(self, tmp_path: Path) -> None:
        h5py = pytest.importorskip("h5py", reason="needs striate[keras-weights]")
        with h5py.File(tmp_path / "x.weights.h5", "w") as file:
            file.create_group("layers/conv2d/vars").create_dataset("0", data=[1.0])
        with pytest.raises(ArtefactError, match=r"Keras 3.*model\.h5"):
            read_weights(tmp_path / "x.weights.h5")
