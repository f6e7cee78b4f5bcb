"""The names people know, mapped to timm's, and the widths that some backbones come in."""

from __future__ import annotations

import re

NAMES: dict[str, str] = {
    "DenseNet121": "densenet121",
    "DenseNet201": "densenet201",
    "MobileNetV2": "mobilenetv2_100",
    "MobileNetV3Small": "mobilenetv3_small_100",
    "MobileNetV3Large": "mobilenetv3_large_100",
    "VGG16": "vgg16",
    "VGG19": "vgg19",
    "ResNet50": "resnet50",
    "ResNet50V2": "resnetv2_50",
    "ResNet101V2": "resnetv2_101",
    "ResNet152V2": "resnetv2_152",
    "EfficientNetB0": "efficientnet_b0",
    "EfficientNetB1": "efficientnet_b1",
    "EfficientNetB2": "efficientnet_b2",
    "EfficientNetB3": "efficientnet_b3",
    "EfficientNetB4": "efficientnet_b4",
    "EfficientNet-Lite0": "tf_efficientnet_lite0",
    "EfficientNet-Lite1": "tf_efficientnet_lite1",
    "EfficientNet-Lite2": "tf_efficientnet_lite2",
    "InceptionV3": "inception_v3",
    "Xception": "legacy_xception",
    "InceptionResNetV2": "inception_resnet_v2",
    "NASNet": "nasnetalarge",
    "ConvNeXt-Tiny": "convnext_tiny",
    "ViT": "vit_small_patch16_224",
    "ViT-Tiny": "vit_tiny_patch16_224",
}
"""Known name to timm name; timm's `legacy_xception` is the network of Chollet 2017."""

WIDTHS: dict[str, dict[float, str]] = {
    "MobileNetV2": {
        0.35: "mobilenetv2_035",
        0.5: "mobilenetv2_050",
        0.75: "mobilenetv2_075",
        1.0: "mobilenetv2_100",
        1.1: "mobilenetv2_110d",
        1.2: "mobilenetv2_120d",
        1.4: "mobilenetv2_140",
    },
    "MobileNetV3Small": {
        0.5: "mobilenetv3_small_050",
        0.75: "mobilenetv3_small_075",
        1.0: "mobilenetv3_small_100",
    },
    "MobileNetV3Large": {0.75: "mobilenetv3_large_075", 1.0: "mobilenetv3_large_100"},
}
"""Known name to width multiplier to timm name; timm's `d` variants are deeper as well."""


def key(name: str) -> str:
    """The name without case, hyphens, underscores and blanks: how known names are compared.

    >>> key("EfficientNet-Lite0") == key("efficientnet lite0")
    True
    """
    return re.sub(r"[-_ ]", "", name).lower()


def known_name(name: str) -> str | None:
    """The known name that `name` spells, if any.

    >>> known_name("densenet-121")
    'DenseNet121'
    """
    return next((known for known in NAMES if key(known) == key(name)), None)
