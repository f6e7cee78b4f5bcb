"""Names that stand in the gaps of sentences, in French: by the gap, what the program calls it."""

_TESTS = {
    "lungs removed": "poumons retirés",
    "lungs swapped": "poumons échangés",
    "lungs only": "poumons seuls",
    "metadata only": "métadonnées seules",
    "border only": "bord seul",
}

NAMED = {
    "rate": {"sensitivity": "sensibilité", "specificity": "spécificité"},
    "column": {"view": "incidence", "sex": "sexe", "age": "âge", "source": "provenance"},
    "tests": _TESTS,
    "missing": _TESTS,
    "split": {
        "train": "entraînement", "validation": "validation", "calibration": "calibration",
        "test": "test",
    },
    "corruption": {
        "noise": "bruit", "blur": "flou", "jpeg": "compression JPEG", "gamma": "gamma",
        "rotation": "rotation", "inversion": "inversion", "marker": "repère",
        "crop": "recadrage", "resolution": "résolution",
    },
    "change": {
        "inverted": "inversé",
        "turned by 180 degrees": "tourné de 180 degrés",
        "turned by 90 degrees to the left": "tourné de 90 degrés vers la gauche",
        "turned by 90 degrees to the right": "tourné de 90 degrés vers la droite",
        "upside down as in a mirror": "renversé comme dans un miroir",
    },
    "cue": {
        "size": "taille", "aspect": "proportions", "file size": "taille du fichier",
        "format": "format", "mean grey": "gris moyen", "contrast": "contraste",
        "border content": "contenu du bord", "sharpness": "netteté",
        "corner text": "texte dans les coins", "all of them": "tous ensemble",
    },
}  # fmt: skip
"""What is not named here, such as a label or a file, is said as it is."""
