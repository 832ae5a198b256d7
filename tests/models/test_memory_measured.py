"""Memory as predicted against torch's record of its allocations, and against what the system gave to a process.

The system's figure is taken with a C library that gives back at once what is freed. As it comes, glibc keeps pieces:
the same processes had grown by 1 to 26 % more than predicted (three networks, 2 cores of an AMD EPYC, 2026-11-21).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from striate.models.cost import cost
from striate.models.registry import create_model, entry

QUICK = {  # images and their side; None is the network's own
    "lenet5": (32, None), "deck_mnist_convnet": (64, None), "cifar_resnet20": (64, None), "squeezenet1_1": (16, 96),
    "mobilenet_v2": (16, 96), "shufflenet_v2_x1_0": (16, 96), "capsnet_mnist": (8, None), "nin_cifar10": (8, None),
}  # fmt: skip
SLOW = {
    "lenet5_1998": (32, None), "alexnet_torchvision": (8, 127), "vgg11_bn": (4, 64), "googlenet": (8, 96),
    "densenet121": (8, 64), "efficientnet_b0": (8, 96), "resnet50": (8, 96), "nasnet_a_mobile": (4, 96),
    "inception_v3": (4, 139), "xception": (4, 96), "senet154": (2, 64), "wrn28_10": (4, 32),
}  # fmt: skip
CASES = [
    *(pytest.param(name, *case, id=name) for name, case in QUICK.items()),
    *(pytest.param(name, *case, id=name, marks=pytest.mark.slow) for name, case in SLOW.items()),
]


def shape_of(name: str, side: int | None) -> tuple[int, int, int]:
    channels, *own = entry(name).input
    return (channels, *own) if side is None else (channels, side, side)


def recorded(model: nn.Module, x: Tensor, training: bool) -> int:
    """Bytes of the weights, the images and the most that torch had allocated at any time of a step."""
    with profile(profile_memory=True, activities=[ProfilerActivity.CPU]) as record, torch.set_grad_enabled(training):
        y = model(x)
        if training:
            y.sum().backward()
    here = most = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            here += event.nbytes()
            most = max(most, here)
    return most + sum(tensor.nbytes for tensor in (x, *model.state_dict().values()))


@pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])
@pytest.mark.parametrize(("name", "images", "side"), CASES)
def test_a_step_takes_what_was_predicted(name: str, images: int, side: int | None, training: bool) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN, whose copies are predicted")
    shape = shape_of(name, side)
    model = create_model(name, input_size=shape[1:]).train(training)
    memory = cost(model, shape).memory(images, training)
    predicted, measured = memory.total - memory.optimizer, recorded(model, torch.zeros(images, *shape), training)
    print(f"{predicted / 1e6:.1f} MB predicted, {measured / 1e6:.1f} MB measured: {predicted / measured - 1:+.1%}")
    assert predicted == pytest.approx(measured, rel=0.05)


STEP = """
import re, sys
from pathlib import Path
import torch
from striate.models.cost import cost
from striate.models.registry import create_model

def resident(line):
    return 1024 * int(re.search(line + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def step(model, x):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

name, images, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
memory = cost(create_model(name, input_size=(side, side)), (3, side, side)).memory(images, optimizer="sgd")
step(create_model(name, input_size=(side, side)), torch.zeros(2, 3, side, side))  # what is loaded and kept once
before = resident("VmRSS")
step(create_model(name, input_size=(side, side)), torch.randn(images, 3, side, side))
print(memory.total, resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux, which tells the peak of a process")
@pytest.mark.parametrize(
    ("name", "images", "side"), [("resnet18", 64, 96), ("densenet121", 32, 96), ("mobilenet_v2", 64, 96)]
)
def test_a_process_grows_by_what_was_predicted(name: str, images: int, side: int) -> None:
    command = [sys.executable, "-c", STEP, name, str(images), str(side)]
    directly = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # what is freed goes back at once
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | directly)
    predicted, measured = map(int, done.stdout.split())
    print(f"{predicted / 1e6:.1f} MB predicted, {measured / 1e6:.1f} MB measured: {predicted / measured - 1:+.1%}")
    assert predicted == pytest.approx(measured, rel=0.15)
