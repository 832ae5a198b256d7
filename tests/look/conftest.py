"""A network that reads a planted patch, trained once."""

import pytest
from torch import nn

from tests.look.planted import trained


@pytest.fixture(scope="session")
def reader() -> nn.Sequential:
    """Trained on `tests.look.planted`."""
    return trained()
