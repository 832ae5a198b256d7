"""1,797 handwritten digits, 8 x 8 pixels, inside the package: a real data set that works without a network.

The file holds the counts 0..16 of dark pixels in each 4 x 4 block of the original 32 x 32 bitmap. An image here is
v * 255 / 16, rounded half up, as a gray byte: 0 -> 0, 8 -> 128, 16 -> 255 (white on black, like MNIST).

digits.npz was written by

    python -c "import numpy as np; from sklearn.datasets import load_digits; d = load_digits(); np.savez_compressed(
        'striate/data/digits.npz', images=d.images.astype(np.uint8), labels=d.target.astype(np.uint8))"

Source:  Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (the test set), UCI Machine Learning
         Repository, doi:10.24432/C50P49, licence CC BY 4.0; as distributed by scikit-learn.
Differs: the pixels are scaled to bytes, and the images have fixed train and test sides; UCI's own training set
         (3,823 images by 30 other people) is not here.
Checked: equal to sklearn.datasets.load_digits, image for image, in tests/data/test_digits.py.
"""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ArrayImages, Labels, Split
from striate.data.split import spread

CLASSES = tuple("0123456789")
TERMS = "Alpaydin & Kaynak 1998, UCI; CC BY 4.0"
TEST_PER_CLASS = 36  # 360 of 1,797, 20 %


def load() -> dict[str, Split]:
    """The sides train (1,437 images) and test (360, 36 of each digit), both (8, 8, 1); keys "digits/0000" ..."""
    counts, labels = read()
    pixels = ((counts.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)[..., None]
    keys = tuple(f"digits/{i:04}" for i in range(len(labels)))
    u = spread(f"test {key}" for key in keys)  # not the hash by which val is set apart later
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        mine = np.flatnonzero(labels == digit)
        test[mine[np.argsort(u[mine])[:TEST_PER_CLASS]]] = True
    whole = Split(ArrayImages(pixels), labels, keys)
    return {"train": whole.take(np.flatnonzero(~test)), "test": whole.take(np.flatnonzero(test))}


def read() -> tuple[NDArray[np.uint8], Labels]:
    """The file as it is: counts 0..16 (1797, 8, 8), labels (1797,)."""
    with (files("striate.data") / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)
