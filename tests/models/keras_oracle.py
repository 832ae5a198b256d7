"""Build a network of Keras, give it random weights, and write them, and its logits, to a file.

    python tests/models/keras_oracle.py MobileNet '{"alpha": 0.5}' images.npy OUT.npz

runs in a Python that has Keras 3 with a backend; Striate and torch need not be there. images.npy is (N, H, W, C), in
double precision as all else. The layers are numbered as they were made, which is the order of the code that makes
them, branch after branch.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

keras.config.set_floatx("float64")
made: list[Any] = []  # layers with weights


def noted(kind: Any) -> None:
    """Have every layer of a kind added to the list when it is first used."""
    build = kind.build

    def build_and_note(layer: Any, input_shape: Any) -> None:
        build(layer, input_shape)
        made.append(layer)

    kind.build = build_and_note


for kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "BatchNormalization", "Dense"):
    noted(getattr(keras.layers, kind))


def filled(name: str, options: dict[str, Any], x: np.ndarray) -> Any:
    """The network in evaluation, its norms with the statistics of the images."""
    keras.utils.set_random_seed(7)
    builder = getattr(keras.applications, name)
    model = builder(weights=None, input_shape=x.shape[1:], classifier_activation=None, **options)
    numbers = np.random.default_rng(7)
    norms = [layer for layer in made if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # all of this batch's
        if layer.gamma is not None:
            layer.gamma.assign(numbers.uniform(0.5, 2.5, layer.gamma.shape))
        layer.beta.assign(numbers.uniform(-1, 1, layer.beta.shape))
    for layer in made:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(numbers.uniform(-0.5, 0.5, layer.bias.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model(x, training=True)
    return model


def main(name: str, options: str, images: str, out: str) -> None:
    x = np.load(images)
    model = filled(name, json.loads(options), x)
    arrays = {"logits": np.asarray(keras.ops.convert_to_numpy(model(x[:2], training=False)))}
    for number, layer in enumerate(made):
        for weight in layer.weights:
            key = f"{number:04d}/{layer.name}/{type(layer).__name__}/{weight.name}"
            arrays[key] = keras.ops.convert_to_numpy(weight)
    np.savez(Path(out), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
