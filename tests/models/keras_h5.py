"""Build a network of Keras with random weights; write it as Keras does, and its logits.

    python tests/models/keras_h5.py MobileNet '{"alpha": 0.25}' images.npy model.h5 logits.npy

runs in a Python that has Keras 3 with a backend; Striate and torch need not be there.
"""

import json
import sys

import keras
import numpy as np
from keras_oracle import filled


def main(name: str, options: str, images: str, out: str, logits: str) -> None:
    x = np.load(images)
    model = filled(name, json.loads(options), x)
    model.save(out)  # with this ending: HDF5, as Keras' published weights are
    np.save(logits, keras.ops.convert_to_numpy(model(x[:2], training=False)))


if __name__ == "__main__":
    main(*sys.argv[1:])
