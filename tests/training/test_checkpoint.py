"""Checkpoints: two whole ones are kept, the newest that is whole is used, and a damaged one is named."""

import errno
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import ArtefactError, EnvironmentFault
from striate.run.packed import pack
from striate.training import checkpoint
from striate.training.checkpoint import FOLDER, Progress, newest, stored, write

SHA = "a" * 64


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"model:w": torch.full((3, 2), float(step)), "optimiser:w:step": torch.tensor(float(step))}


def filled(run: Path, *steps: int) -> list[Path]:
    return [write(run, Progress(step=step, epoch=step // 2), tensors(step), SHA) for step in steps]


def damage(path: Path, kind: str = "flip") -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:40]), "empty": b"", "text": b"hello"}[kind])


def there(run: Path) -> list[int]:
    return [step for step, _ in stored(run)]


# -- there and back ----------------------------------------------------------------------------------------------------

rows = st.fixed_dictionaries({"epoch": st.integers(1, 99), "val_loss": st.none() | st.floats(0, 1e300)})
progresses = st.builds(
    Progress, step=st.integers(0, 10**9), epoch=st.integers(0, 10**6), batch=st.integers(0, 10**6),
    seen=st.integers(0, 10**9), right=st.integers(0, 10**9), loss_sum=st.floats(0, 1e300),
    factor=st.floats(1e-300, 1), plateau_best=st.none() | st.floats(0, 1e300), plateau_waited=st.integers(0, 99),
    best=st.none() | rows, waited=st.integers(0, 99), finished=st.booleans(), rows=st.lists(rows, max_size=3),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(progress=progresses)
def test_progress_comes_back_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> None:
    run = tmp_path_factory.mktemp("run")
    path = write(run, progress, tensors(1), SHA)
    found = newest(run, SHA)
    assert found is not None
    assert found.progress == progress
    assert asdict(found.progress) == asdict(progress)
    assert (found.path, found.damaged) == (path, ())
    assert torch.equal(found.tensors["model:w"], tensors(1)["model:w"])


def test_nothing_stored_is_nothing_found(tmp_path: Path) -> None:
    assert newest(tmp_path, SHA) is None
    (tmp_path / FOLDER).mkdir()
    assert newest(tmp_path, SHA) is None
    assert newest(tmp_path / "not there", SHA) is None


def test_the_two_newest_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    filled(tmp_path, *range(0, 40, 5))
    assert there(tmp_path) == [30, 35]
    assert len(list((tmp_path / FOLDER).iterdir())) == 2


def test_the_same_step_may_be_written_twice(tmp_path: Path) -> None:
    filled(tmp_path, 5, 10)
    write(tmp_path, Progress(step=10, finished=True), tensors(10), SHA)
    found = newest(tmp_path, SHA)
    assert found is not None
    assert found.progress.finished
    assert there(tmp_path) == [5, 10]


def test_the_newest_is_told_by_its_step_and_not_by_its_date_or_the_length_of_its_number(tmp_path: Path) -> None:
    for path in filled(tmp_path, 99_999_999, 100_000_000):
        os.utime(path, (0, 0))
    os.utime(tmp_path / FOLDER / "step-99999999.safetensors")
    found = newest(tmp_path, SHA)
    assert found is not None
    assert found.progress.step == 100_000_000
    filled(tmp_path, 100_000_001)
    assert there(tmp_path) == [100_000_000, 100_000_001]


@pytest.mark.parametrize(
    "name", ["step-.safetensors", "step-x.safetensors", "step-9.safetensors.bak", "last", "notes.txt"]
)
def test_files_of_other_names_are_neither_read_nor_removed(tmp_path: Path, name: str) -> None:
    filled(tmp_path, 1)
    (tmp_path / FOLDER / name).write_text("mine")
    filled(tmp_path, 2, 3, 4)
    found = newest(tmp_path, SHA)
    assert found is not None
    assert (found.progress.step, found.damaged) == (4, ())
    assert (tmp_path / FOLDER / name).read_text() == "mine"


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["flip", "cut", "empty", "text"])
def test_a_damaged_one_is_named_and_the_one_before_it_is_used(tmp_path: Path, kind: str) -> None:
    _, last = filled(tmp_path, 5, 10)
    damage(last, kind)
    found = newest(tmp_path, SHA)
    assert found is not None
    assert found.progress.step == 5
    assert torch.equal(found.tensors["model:w"], tensors(5)["model:w"])
    (said,) = found.damaged
    assert last.name in said
    assert "damaged" in said


def test_where_none_is_whole_it_is_said_and_nothing_is_begun_anew(tmp_path: Path) -> None:
    for path in filled(tmp_path, 5, 10):
        damage(path)
    with pytest.raises(ArtefactError, match="no checkpoint is whole") as caught:
        newest(tmp_path, SHA)
    for part in ("step-00000005", "step-00000010", str(tmp_path / FOLDER)):
        assert part in str(caught.value)
    assert there(tmp_path) == [5, 10]


def test_going_on_from_an_older_one_never_throws_away_the_whole_ones(tmp_path: Path) -> None:
    """Damaged newer ones must not push out what is written after going back."""
    for path in filled(tmp_path, 20, 30):
        damage(path)
    (tmp_path / FOLDER / "step-00000010.safetensors").write_bytes(
        pack(tensors(10), {"progress": asdict(Progress(step=10)), "recipe": SHA})
    )
    found = newest(tmp_path, SHA)
    assert found is not None
    assert found.progress.step == 10
    assert len(found.damaged) == 2
    filled(tmp_path, 15)
    assert there(tmp_path) == [10, 15]
    again = newest(tmp_path, SHA)
    assert again is not None
    assert (again.progress.step, again.damaged) == (15, ())


@pytest.mark.parametrize(
    "header",
    [{}, {"progress": None}, {"progress": [1]}, {"progress": {}}, {"progress": {"step": 7, "of_a_later_version": 1}}],
    ids=str,
)
def test_a_file_of_ours_that_is_no_checkpoint_counts_as_damaged_and_unknown_keys_are_passed_over(
    tmp_path: Path, header: dict[str, Any]
) -> None:
    filled(tmp_path, 5)
    (tmp_path / FOLDER / "step-00000009.safetensors").write_bytes(pack(tensors(9), header | {"recipe": SHA}))
    found = newest(tmp_path, SHA)
    assert found is not None
    readable = isinstance(header.get("progress"), dict)
    assert len(found.damaged) == (0 if readable else 1)
    assert found.progress.step == (header["progress"].get("step", 0) if readable else 5)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    with pytest.raises(ArtefactError, match="another recipe"):
        newest(tmp_path, "b" * 64)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_leaves_the_checkpoints_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    filled(tmp_path, 5, 10)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        filled(tmp_path, 15)
    monkeypatch.undo()
    found = newest(tmp_path, SHA)
    assert found is not None
    assert (found.progress.step, there(tmp_path)) == (10, [5, 10])
    assert len(list((tmp_path / FOLDER).iterdir())) == 2


def test_a_stop_at_any_moment_of_a_save_leaves_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in place of each call that changes the disk, one after the other, as a kill would come."""

    class Killed(BaseException):
        pass

    def after(n: int, calls: list[str]) -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
        def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*a: Any, **k: Any) -> Any:
                calls.append(name)
                if len(calls) == n:
                    raise Killed
                return call(*a, **k)

            return counted

        return wrap

    moments, n = [], 1
    while True:
        run = tmp_path / str(n)
        run.mkdir()
        filled(run, 5, 10)
        calls: list[str] = []
        with monkeypatch.context() as patch:
            wrap = after(n, calls)
            for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "open"), (Path, "mkdir")):
                patch.setattr(owner, name, wrap(name, getattr(owner, name)))
            try:
                filled(run, 15)
            except Killed:
                moments.append(calls[-1])
            else:
                break
        found = newest(run, SHA)
        assert found is not None
        assert found.progress.step in (10, 15)
        assert found.damaged == ()
        assert len(stored(run)) >= 2
        n += 1
    assert {"open", "fsync", "replace", "unlink"} <= set(moments)


def test_thousands_of_old_ones_are_cleared_away(tmp_path: Path) -> None:
    (path,) = filled(tmp_path, 1)
    for step in range(2, 3000):
        os.link(path, path.with_name(f"step-{step:08d}.safetensors"))
    assert checkpoint.stored(tmp_path)[-1][0] == 2999
    assert newest(tmp_path, SHA) is not None
    filled(tmp_path, 3000)
    assert there(tmp_path) == [2999, 3000]
