"""Where a step's time goes: the parts are those of the real training, and add up to the whole."""

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.cli.bench import describe_times
from striate.cli.main import main
from striate.errors import RecipeError, UnknownName
from striate.models import registry
from striate.models.registry import Entry, register
from striate.training.bench.kinds import KINDS, OTHER, kind_of_operation, seconds_by_kind
from striate.training.bench.made_up import write_made_up
from striate.training.bench.peak import peak_macs
from striate.training.bench.steps import StepTimes, time_steps
from striate.training.job import train
from striate.training.options import Options
from striate.training.report import Report, Step, Timing
from tests.training.conftest import plain

SLEEP_S = 0.02
ALONE = Options(threads=1, workers=0)
FOUND = StepTimes(
    model="m", data="d", batch=32, precision="bf16", machine="a machine", steps=10, step_s=0.1,
    parts_s={"waited": 0.01, "forward": 0.03, "backward": 0.05, "update": 0.01, "rest": 0.0}, images_per_s=320.0,
    macs=10**9, macs_per_s=9.6e11, peak_macs_per_s={"float32": 1e12, "bf16": 4e12},
    kinds={"convolution": 0.75, OTHER: 0.25},
)  # fmt: skip


class Slow(nn.Module):
    """Takes its time on the way forward, and three times as long on the way back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = _Slow.apply(x)  # type: ignore[no-untyped-call]
        return y


class _Slow(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        time.sleep(SLEEP_S)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        time.sleep(3 * SLEEP_S)
        return gradients[0]


@pytest.fixture
def slow() -> Iterator[None]:
    def build(num_classes: int, in_chans: int) -> nn.Module:
        net = plain(num_classes, in_chans)
        net.relu = Slow()
        return net

    registry.list_models()
    register(Entry("test_slow", build, year=2026, paper="none", about="For the tests.", input=(1, 12, 12), classes=3,
                   head="fc", stem="conv", look="relu", smallest=5))  # fmt: skip
    yield
    del registry._entries["test_slow"], registry._names["test_slow"]


def test_a_step_s_time_is_found_where_it_is_spent(slow: None, images: Path) -> None:
    found = time_steps(str(images), "test_slow", options=ALONE, steps=4, batch=6, precision="float32")
    assert SLEEP_S <= found.parts_s["forward"] < found.parts_s["backward"]
    assert found.parts_s["backward"] >= 3 * SLEEP_S
    assert sum(found.parts_s.values()) == pytest.approx(found.step_s, rel=0.35)
    assert found.step_s >= 4 * SLEEP_S
    assert found.images_per_s == pytest.approx(6 / found.step_s)
    assert found.macs_per_s == pytest.approx(3 * found.macs * found.images_per_s)
    assert found.share_of_peak == found.macs_per_s / found.peak_macs_per_s["float32"]
    assert sum(found.kinds.values()) == pytest.approx(1)
    assert found.kinds.get("convolution", 0) > 0


def test_images_are_made_up_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    main_or_exit(
        ["bench", "train", "--model", "test_plain", "--set", "batch=8", "--steps", "2", "--threads", "1", "--json"]
    )
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["batch"], said["steps"]) == ("test_plain", 8, 2)
    assert 0 < said["share_of_peak"] < 1
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith("torchinductor_")]  # torch makes that
    assert left == []


def main_or_exit(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0


def test_what_is_wrong_is_told_as_in_a_training() -> None:
    with pytest.raises(UnknownName, match="test_plain"):
        time_steps(None, "test_plian", options=ALONE)
    with pytest.raises(RecipeError, match="batch"):
        time_steps(None, "test_plain", options=ALONE, batch=0)


def test_the_table_says_what_was_found() -> None:
    text = describe_times(FOUND)
    assert "m on d: 10 steps of 32 images, bf16" in text
    assert "  backward           50.00 ms   50.0%  ████████████\n" in text
    assert "320.0 images/s; 960.0 G multiply-adds/s" in text
    assert "96.0% of a float32 matrix product (1,000 G/s), 24.0% of a bf16 matrix product (4,000 G/s)" in text
    assert "  convolution     75.0%  ██████████████████\n" in text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::convolution_backward", "convolution"),
        ("aten::native_batch_norm", "norm"),
        ("aten::max_pool2d_with_indices", "pooling"),
        ("aten::addmm", "dense"),
        ("aten::threshold_backward", "activation, addition"),
        ("aten::_fused_adamw_", "update"),
        ("aten::copy_", "copy"),
        ("aten::nll_loss_forward", "loss"),
        ("aten::as_strided", OTHER),
        ("autograd::engine::evaluate_function: ReluBackward0", "activation, addition"),
        ("NativeBatchNormBackward0", "norm"),
    ],
)
def test_operations_are_told_apart(name: str, kind: str) -> None:
    assert kind_of_operation(name) == kind


def test_the_profile_of_a_known_network_is_mostly_its_convolutions() -> None:
    net, x = nn.Conv2d(16, 16, 3, padding=1), torch.randn(8, 16, 40, 40)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        for _ in range(3):
            net(x).relu().sum().backward()
    spent = seconds_by_kind(seen.key_averages(), cuda=False)
    assert set(spent) <= {*KINDS, OTHER}
    assert max(spent, key=spent.__getitem__) == "convolution"


def test_a_larger_product_does_not_change_the_order_of_the_peak() -> None:
    small, large = (peak_macs("float32", "cpu", side=side, turns=3) for side in (256, 512))
    assert 1e8 < small < 1e14
    assert 0.2 < large / small < 10


def test_made_up_images_are_of_the_size_and_classes_that_were_asked_for(tmp_path: Path) -> None:
    write_made_up(tmp_path, 12, (20, 30), 3)
    found = sorted(tmp_path.rglob("*.jpg"))
    assert len(found) == 12
    assert len({path.parent for path in found}) == 10
    assert np.asarray(Image.open(found[0])).shape == (20, 30, 3)
    assert len({path.read_bytes() for path in found}) == 12


def test_the_log_of_times_has_the_shares_of_an_epoch(images: Path, tmp_path: Path) -> None:
    class Watching(Report):
        steps: list[Step]
        timings: list[Timing]

        def step(self, step: Step) -> None:
            self.steps.append(step)

        def epoch(self, row: dict[str, Any], timing: Timing) -> None:
            self.timings.append(timing)

    watch = Watching()
    watch.steps, watch.timings = [], []
    train(images, "test_plain", out=tmp_path / "run", options=ALONE, report=watch, epochs=2, batch=6)
    lines = [json.loads(line) for line in (tmp_path / "run" / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    for line, timing in zip(lines, watch.timings, strict=True):
        shares = [line[name] for name in ("data_wait", "forward", "backward", "update")]
        assert all(share > 0 for share in shares)
        assert sum(shares) <= 1
        assert line["forward"] == timing.forward
    of_first = [step.laps for step in watch.steps if step.epoch == 1]
    assert all(a.whole < b.whole and a.forward < b.forward for a, b in pairwise(of_first))
