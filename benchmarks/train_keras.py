"""The same networks with Keras' fit, arrays in memory. Runs in the Python that has Keras; knows nothing of Striate.

Prints images a second of each epoch (validation and start-up not counted), and the accuracy at the end.
"""

import json
import os
import time
from argparse import ArgumentParser
from pathlib import Path

import mnist
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from keras import layers


def lenet5() -> keras.Model:
    return keras.Sequential([
        keras.Input((32, 32, 1)),
        layers.Conv2D(6, 5, activation="tanh"), layers.AveragePooling2D(2), layers.Activation("tanh"),
        layers.Conv2D(16, 5, activation="tanh"), layers.AveragePooling2D(2), layers.Activation("tanh"),
        layers.Conv2D(120, 5, activation="tanh"), layers.Flatten(),
        layers.Dense(84, activation="tanh"), layers.Dense(10),
    ])  # fmt: skip


def deck_mnist_convnet() -> keras.Model:
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(10),
    ])  # fmt: skip


NETWORKS = {"lenet5": (lenet5, 2), "deck_mnist_convnet": (deck_mnist_convnet, 0)}


class Clock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.seconds.append(time.perf_counter() - self.begun)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    build, padding = NETWORKS[options.network]
    keras.utils.set_random_seed(0)

    def arrays(role: str):
        images, labels = mnist.read(options.data_dir, role)
        padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding)))[..., None]
        return padded.astype("float32") / 255, labels.astype("int64")

    x, y = arrays("train")
    model = build()
    model.compile(
        optimizer=keras.optimizers.Adam(0.001), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    clock = Clock()
    model.fit(x, y, batch_size=options.batch, epochs=options.epochs, verbose=0, callbacks=[clock])
    x_test, y_test = arrays("test")
    accuracy = float((model.predict(x_test, batch_size=1000, verbose=0).argmax(1) == y_test).mean())
    backend = keras.backend.backend()
    engine = __import__(backend).__version__
    print(
        json.dumps(
            {
                "images_per_s": [len(x) / s for s in clock.seconds],
                "accuracy": accuracy,
                "parameters": model.count_params(),
                "versions": {"keras": keras.__version__, backend: engine},
            }
        )
    )


if __name__ == "__main__":
    main()
