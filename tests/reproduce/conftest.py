"""A recipe so small that it is carried out in a second, on the digits that are in the package."""

from pathlib import Path

import pytest

RECIPE = """
[claim]
title = "Small"
says = "Dropout helps."
who = "nobody"
metric = "test accuracy, %"
figure = 90.0
command = "striate reproduce small"

[work]
seeds = 2
train_images = 200
test_images = 100
baseline = "without"

[settings]
data = "digits"
size = 28
epochs = 2
batch = 32
optimizer = "sgd"
lr = 0.05
augment = "none"
precision = "float32"

[network]

[quick.work]
train_images = 100

[arms.without]

[arms.with.network]
dropout = 0.5
"""


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with one recipe."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "small.toml").write_text(RECIPE)
    return folder
