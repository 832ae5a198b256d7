"""The headers of tar files: every member where it lies, and no damage that goes unseen."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.shards.members import members_of
from striate.errors import DatasetError
from tests.data.shards.packs import pack

FIVE = [(f"a/{i}.bin", bytes([i]) * (300 * i + 1)) for i in range(5)]


def contents(path: Path) -> list[tuple[str, bytes]]:
    whole = path.read_bytes()
    return [(m.name, whole[m.offset : m.offset + m.size]) for m in members_of(path) if not m.why_not]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_their_bytes_are_in_every_form_of_tar(tmp_path: Path, form: int) -> None:
    names = FIVE if form == tarfile.USTAR_FORMAT else [*FIVE, ("deep/" * 60 + "ü.bin", b"far"), ("x" * 180, b"long")]
    assert contents(pack(tmp_path / "a.tar", names, form)) == names


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar program")
def test_what_the_tar_program_packs_is_read_by_its_plain_names(tmp_path: Path) -> None:
    for name, data in FIVE:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "in" / "link.bin").symlink_to("/etc/passwd")
    subprocess.run(["tar", "cf", tmp_path / "a.tar", "-C", tmp_path / "in", "."], check=True)
    assert sorted(contents(tmp_path / "a.tar")) == FIVE
    assert [m.why_not for m in members_of(tmp_path / "a.tar") if m.name == "link.bin"] == [
        "a link, which is never followed"
    ]


@given(st.integers(0, 30_000))
@settings(max_examples=30, deadline=None)
def test_a_tar_file_that_is_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.tar"
    whole = pack(path, FIVE, tarfile.USTAR_FORMAT).read_bytes()
    end = sum(512 + -(-len(data) // 512) * 512 for _, data in FIVE)  # from here on there are only zeros
    path.write_bytes(whole[: min(kept, end + 511)])
    with pytest.raises(DatasetError, match=r"cut\.tar: (cut short|damaged)"):
        list(members_of(path))


@pytest.mark.parametrize("which", range(5))
def test_a_header_that_is_damaged_is_not_taken_for_the_end(tmp_path: Path, which: int) -> None:
    path = pack(tmp_path / "a.tar", FIVE, tarfile.USTAR_FORMAT)
    header = [m.offset for m in members_of(path)][which] - 512
    data = bytearray(path.read_bytes())
    data[header + 3] ^= 0x20
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"damaged.*(byte {header:,}|bad checksum|invalid header)"):
        list(members_of(path))


def test_two_archives_in_one_file_are_refused_for_the_second_would_not_be_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", FIVE)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DatasetError, match="something follows that would not be read"):
        list(members_of(path))


@pytest.mark.parametrize(("mode", "tool"), [("w:gz", "gunzip"), ("w:bz2", "bunzip2"), ("w:xz", "unxz")])
def test_a_compressed_archive_is_refused_with_the_tool_that_unpacks_it(tmp_path: Path, mode: str, tool: str) -> None:
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
    with pytest.raises(DatasetError, match=f"compressed.*{tool}"):
        list(members_of(tmp_path / "a.tar"))


@pytest.mark.parametrize("kind", [b"L", b"x"])
@pytest.mark.parametrize("size", [-512, 1 << 33])
def test_a_header_that_lies_about_its_length_costs_neither_memory_nor_time(
    tmp_path: Path, kind: bytes, size: int
) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(20_000))
    with pytest.raises(DatasetError, match=r"a\.tar: (damaged|cut short)"):
        list(members_of(tmp_path / "a.tar"))


def test_a_member_of_negative_length_ends_the_reading(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.size = -512
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 3 + bytes(10_240))
    with pytest.raises(DatasetError, match=r"damaged|cut short"):
        list(members_of(tmp_path / "a.tar"))


def test_a_pipe_called_like_a_shard_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(DatasetError, match="not a plain file"):
        list(members_of(tmp_path / "a.tar"))
