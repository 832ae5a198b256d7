"""Files of tensors: the same content gives the same bytes, and a file that was changed anywhere is never believed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.errors import ArtefactError
from striate.run.packed import header_of, pack, unpack

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]
SMALL = {"model:conv.weight": torch.arange(6.0).reshape(2, 3), "model:step": torch.tensor(7), "b": torch.tensor([True])}
HEADER = {"progress": {"step": 3, "loss": 1.25e-05, "rows": []}, "classes": ["cat", "chät"], "best": None}

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | finite | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)  # fmt: skip


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Tensor]:
    found = {}
    for name in draw(st.lists(st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"), max_size=4)):
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        raw = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
        found[name] = (raw * 3).to(draw(st.sampled_from(DTYPES)))
    return found


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        t.dtype == other[n].dtype and t.shape == other[n].shape and torch.equal(t, other[n]) for n, t in one.items()
    )


# -- there and back ----------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(content=tensors(), header=st.dictionaries(st.text().filter(lambda k: k != "sha256"), json_values, max_size=4))
def test_what_is_packed_is_unpacked(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Tensor], header: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("packed") / "file"
    path.write_bytes(pack(content, header))
    found, said = unpack(path)
    assert same(found, content)
    assert said == header
    assert {k: v for k, v in header_of(path).items() if k != "sha256"} == header


def test_every_bit_of_a_number_survives(tmp_path: Path) -> None:
    bits = torch.randint(-(2**31), 2**31 - 1, (4000,), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    strange = torch.tensor([0, 1, -(2**31), 2**31 - 1, 0x7F800000, 0x7FC00000, 0x7F800001], dtype=torch.int32)
    values = torch.cat([bits, strange]).view(torch.float32)  # with NaN of every kind, infinities, denormals, -0
    (tmp_path / "file").write_bytes(pack({"x": values}, {"loss": 0.1 + 0.2}))
    found, header = unpack(tmp_path / "file")
    assert torch.equal(found["x"].view(torch.int32), values.view(torch.int32))
    assert header["loss"] == 0.1 + 0.2


@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t,
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: torch.stack([t, t], -1)[..., 0],
        lambda t: t.flip(0).flip(0).requires_grad_(),
        lambda t: torch.cat([t, t])[len(t) :],
    ],
)
def test_the_layout_in_memory_is_not_content(layout: Any) -> None:
    plain = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    assert pack({"x": layout(plain.clone())}, {}) == pack({"x": plain}, {})


def test_the_order_in_which_things_are_given_is_not_content() -> None:
    turned = dict(reversed(SMALL.items()))
    assert pack(SMALL, HEADER) == pack(turned, dict(reversed(HEADER.items())))


def test_every_process_writes_the_same_bytes() -> None:
    code = (
        "import hashlib, torch\n"
        "from striate.run.packed import pack\n"
        "tensors = {name: torch.arange(5.0) for name in {'a', 'b', 'c', 'layer.weight', 'layer.bias'}}\n"
        "header = {key: 1 for key in {'x', 'y', 'z', 'classes', 'model'}}\n"
        "print(hashlib.sha256(pack(tensors, header)).hexdigest())\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_header_holds_no_number_that_json_does_not_know(bad: float) -> None:
    with pytest.raises(ValueError):
        pack(SMALL, {"loss": bad})


# -- damage ------------------------------------------------------------------------------------------------------------


def believed(path: Path, data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What is read of these bytes; None where they are refused as they should be."""
    path.write_bytes(data)
    try:
        return unpack(path)
    except ArtefactError as error:
        said = str(error)
    assert str(path) in said
    return None


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    tensors, header = {"w": torch.tensor([1.5, -2.0]), "n": torch.tensor(7)}, {"rows": [1.25e-05], "classes": ["chät"]}
    whole = pack(tensors, header)
    alike = []
    for at in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            found = believed(tmp_path / "file", bytes(damaged))
            if found is not None:  # the same content, written differently: 1.25E-05 for 1.25e-05
                assert same(found[0], tensors)
                assert found[1] == header
                alike.append(whole[at : at + 1])
    assert set(alike) <= {b"e"}


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = pack(SMALL, HEADER)
    assert [n for n in range(len(whole)) if believed(tmp_path / "file", whole[:n])] == []
    assert believed(tmp_path / "file", whole) is not None


def test_bytes_that_are_added_zeroed_or_moved_are_noticed(tmp_path: Path) -> None:
    whole = pack(SMALL, HEADER)
    half = len(whole) // 2
    changed = [whole + b"\0", whole + whole, b"\0" + whole, whole[half:] + whole[:half], b"\0" * len(whole), b""]
    changed += [whole[:at] + b"\0" * 8 + whole[at + 8 :] for at in range(0, len(whole) - 8, 8)]
    assert [data for data in changed if data != whole and believed(tmp_path / "file", data)] == []


def test_a_tensor_of_another_file_is_noticed(tmp_path: Path) -> None:
    """The bytes of one checkpoint behind the header of another of the same shapes."""
    one = pack(SMALL, HEADER)
    other = pack({n: t + 1 if t.dtype != torch.bool else t for n, t in SMALL.items()}, HEADER)
    start = 8 + int.from_bytes(one[:8], "little")
    assert believed(tmp_path / "file", one[:start] + other[start:]) is None
    assert believed(tmp_path / "file", other[:start] + one[start:]) is None


@pytest.mark.parametrize(
    "data",
    [b"PK\x03\x04 a zip file", b"\x80\x02}q\x00.", b"\x89PNG\r\n\x1a\n", b"\xff" * 100, (10**9).to_bytes(8, "little")],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    for read in (unpack, header_of):
        with pytest.raises(ArtefactError, match="can't be read"):
            read(tmp_path / "file")


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        for read in (unpack, header_of):
            with pytest.raises(ArtefactError, match="can't be read"):
                read(path)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "no Striate header"),
        ({"format": "pt"}, "no Striate header"),
        ({"striate": "{"}, "not valid JSON"),
        ({"striate": "[1]"}, "not a table"),
        ({"striate": "[" * 100_000}, "not valid JSON"),
        ({"striate": "{}"}, "SHA-256"),
        ({"striate": json.dumps({"sha256": "0" * 64})}, "SHA-256"),
        ({"striate": json.dumps({"sha256": None})}, "SHA-256"),
        ({"striate": '{"loss": NaN}'}, "SHA-256"),
    ],
)
def test_weights_of_somebody_else_are_refused_with_the_reason(
    tmp_path: Path, metadata: dict[str, str] | None, said: str
) -> None:
    from safetensors.torch import save

    (tmp_path / "file").write_bytes(save(SMALL, metadata=metadata))
    with pytest.raises(ArtefactError, match=said):
        unpack(tmp_path / "file")
