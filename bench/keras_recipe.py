"""What the usual Keras notebook does, timed: run in an environment of its own by `run.py`.

`python bench/keras_recipe.py FOLDER` with FOLDER/train/<label>/*.jpeg; prints JSON. With `answers`
behind it, only what `predict` takes. Random weights: time does not depend on them, and nothing is
downloaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow import keras

SIZE, BATCH = 224, 32


def generator(folder: Path) -> Any:
    """The notebooks' generator: decoding, rotation, zoom and flip in Python, every epoch."""
    maker = keras.preprocessing.image.ImageDataGenerator(
        rotation_range=10, zoom_range=0.1, horizontal_flip=True
    )
    return maker.flow_from_directory(
        str(folder), target_size=(SIZE, SIZE), batch_size=BATCH, class_mode="categorical", seed=0
    )


def network(name: str, trainable: str) -> keras.Model:
    """A backbone under pooling, dropout and a dense layer; `none`, `last 30` or `all` trained."""
    backbone = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    backbone.trainable = trainable != "none"
    if trainable == "last 30":
        for layer in backbone.layers[:-30]:
            layer.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    maps = backbone(inputs, training=False if trainable == "none" else None)
    hidden = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    return model


def training_rate(folder: Path, name: str, trainable: str, steps: int) -> float:
    """Images per second of `model.fit` over `steps` batches, after a few to warm up."""
    model, batches = network(name, trainable), generator(folder)
    model.fit(batches, steps_per_epoch=4, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0)
    return steps * BATCH / (time.perf_counter() - start)


def answers(name: str) -> dict[str, float]:
    """Milliseconds of `predict` of one array, and images per second in batches of 32."""
    model = network(name, "none")
    one, many = np.zeros((1, SIZE, SIZE, 3), "float32"), np.zeros((320, SIZE, SIZE, 3), "float32")
    model.predict(one, verbose=0)
    times = []
    for _ in range(30):
        start = time.perf_counter()
        model.predict(one, verbose=0)
        times.append(time.perf_counter() - start)
    model.predict(many, batch_size=BATCH, verbose=0)
    start = time.perf_counter()
    model.predict(many, batch_size=BATCH, verbose=0)
    rate = len(many) / (time.perf_counter() - start)
    return {f"{name} predict one": sorted(times)[15] * 1000, f"{name} predict rate": rate}


def main() -> None:
    """Measure and print."""
    if sys.argv[2:] == ["answers"]:
        print(json.dumps({"tensorflow": tf.__version__, **answers("MobileNetV3Large")}))
        return
    folder = Path(sys.argv[1]) / "train"
    images = sum(1 for _ in folder.rglob("*.jp*g"))
    batches = generator(folder)
    next(batches)
    start = time.perf_counter()
    for _ in islice(batches, 30):
        pass
    found = {"images": float(images), "generator": 30 * BATCH / (time.perf_counter() - start)}
    for name, trainable, steps in (
        ("MobileNetV3Large", "none", 40),
        ("MobileNetV3Large", "last 30", 30),
        ("MobileNetV3Large", "all", 12),
        ("DenseNet121", "all", 6),
    ):
        found[f"{name} {trainable}"] = training_rate(folder, name, trainable, steps)
    found |= answers("MobileNetV3Large")
    print(json.dumps({"tensorflow": tf.__version__, **found}))


if __name__ == "__main__":
    main()
