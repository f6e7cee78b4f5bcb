"""What figures say: they are drawn in English, and their words replaced."""

from pneumoscope.app.language import Text

FIGURES = {
    name: Text(name, french)
    for name, french in {
        "Accuracy": "Exactitude",
        "Probability of the answer": "Probabilité de la réponse",
        "Share of images": "Part des images",
        "Share of images answered": "Part des images répondues",
        "Images": "Images",
        "Before": "Avant",
        "After": "Après",
        "Predicted label, in columns": "Étiquette prédite, en colonnes",
        "True label, in rows": "Vraie étiquette, en lignes",
        "Sensitivity": "Sensibilité",
        "1 \u2212 specificity": "1 − spécificité",
        "Precision": "Précision",
        "Recall": "Rappel",
        "chance": "hasard",
        "Epoch": "Époque",
        "Loss": "Perte",
        "Validation loss": "Perte de validation",
        "Validation AUC": "AUC de validation",
        "Share of the answers that are wrong": "Part des réponses fausses",
        "Area ": "Aire ",
        "sensitivity ": "sensibilité ",
        "specificity ": "spécificité ",
        ", best at epoch ": ", meilleure à l’époque ",
        "error ": "erreur ",
        " to ": " à ",
        "Calibration error ": "Erreur de calibration ",
        "wanted ": "voulu ",
    }.items()
}
"""By what `reporting` writes into its figures; those with a space at an end stand inside others."""
