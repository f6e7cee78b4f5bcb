"""Two dictionaries as people keep them for Keras; `pneumoscope recipe convert` reads them."""

frozen = {
    "model": "MobileNetV2",
    "weights": "imagenet",
    "alpha": 0.35,
    "pooling": "max",
    "strategy": "frozen",
    "epochs": 30,
    "batch_size": 64,
    "img_size": (160, 160, 3),
    "equilibrate": "undersample",
    "optimizer": {"name": "AdamW", "learning_rate": 5e-4, "weight_decay": 1e-3},
    "loss": "categorical_crossentropy",
    "data_augmentation": {"rotation_range": 12, "zoom_range": 0.1, "horizontal_flip": True},
    "added_layers": [
        {"type": "Dropout", "count": 0.2},
        {"type": "Dense", "count": 128, "activation": "relu"},
        {"type": "Dropout", "count": 0.5},
        {"type": "Dense", "count": 2, "activation": "softmax"},
    ],
}

fixed = {
    "model": "MobileNetV2",
    "weights": "imagenet",
    "alpha": 0.35,
    "pooling": "max",
    "strategy": "fixed",
    "fixed_layers": 116,
    "epochs": 10,
    "batch_size": 32,
    "img_size": (160, 160, 3),
    "equilibrate": "undersample",
    "optimizer": {"name": "AdamW", "learning_rate": 1e-4, "weight_decay": 1e-3},
    "loss": "categorical_crossentropy",
    "data_augmentation": {"rotation_range": 12, "zoom_range": 0.1, "horizontal_flip": True},
    "added_layers": [
        {"type": "Dropout", "count": 0.2},
        {"type": "Dense", "count": 128, "activation": "relu"},
        {"type": "Dropout", "count": 0.5},
        {"type": "Dense", "count": 2, "activation": "softmax"},
    ],
}
