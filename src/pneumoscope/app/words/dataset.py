"""Data."""

from pneumoscope.app.language import Text

TITLE = Text("Data", "Données")
LEAD = Text(
    "What the images are like, and what would make results untrue.",
    "À quoi ressemblent les images, et ce qui rendrait les résultats faux.",
)
TILES = {
    "images": Text("Images", "Images"),
    "usable": Text("Usable", "Utilisables"),
    "duplicate_pairs": Text("Pairs of duplicates", "Paires de doublons"),
    "issues": Text("Issues to act on", "Points à traiter"),
}
COUNTS = Text("Images by split and label", "Images par partie et étiquette")
BY = {
    "split": Text("Split", "Partie"),
    "source": Text("Source", "Provenance"),
    "view": Text("View", "Incidence"),
}
BY_TITLE = {
    "source": Text("By source", "Par provenance"),
    "view": Text("By view", "Par incidence"),
}
SPLITS = {
    "train": Text("Train", "Entraînement"),
    "validation": Text("Validation", "Validation"),
    "calibration": Text("Calibration", "Calibration"),
    "test": Text("Test", "Test"),
}
UNKNOWN = Text("Unknown", "Inconnu")
ALL = Text("All", "Toutes")
ISSUES = Text("What the audit found", "Ce que l’audit a trouvé")
SEVERITIES = {
    "error": Text("Error", "Erreur"),
    "warning": Text("Warning", "Avertissement"),
    "info": Text("Good to know", "À savoir"),
}
PATHS = Text("Images concerned, {shown} of {total}", "Images concernées, {shown} sur {total}")
CLEAN = Text("The audit found nothing to act on.", "L’audit n’a rien trouvé à traiter.")
MORE = Text("{n} more that {n:is|are} good to know", "{n} {n:autre, bon|autres, bons} à savoir")
DONE = Text("What was done about it", "Ce qui a été fait")
DONE_SPLIT = Text(
    "A split was written that keeps patients and duplicates together. Train with it: --set "
    "split.file={file}",
    "Une partition qui garde ensemble patients et doublons a été écrite. Entraînez avec : --set "
    "split.file={file}",
)
DONE_NOTHING = Text(
    "No split was written. Audit again with --fix, and one is that has no leak.",
    "Aucune partition n’a été écrite. Relancez l’audit avec --fix pour en obtenir une sans fuite.",
)
EXCLUDED = Text("Left out, with the reason", "Écartées, avec la raison")
REASON = Text("Reason", "Raison")
EXCLUSIONS = {
    "unreadable": Text("unreadable", "illisible"),
    "identical copy": Text("identical copy", "copie identique"),
    "identical copies carry different labels": Text(
        "identical copies carry different labels", "copies identiques d’étiquettes différentes"
    ),
    "not in the split file": Text("not in the split file", "absente du fichier de partition"),
    "not drawn": Text("not drawn", "non tirée"),
    "excluded by the label patch": Text("excluded by the label patch", "exclue à la relecture"),
}
"""What reasons begin with."""
MEANS = Text("Mean images", "Images moyennes")
MEANS_LEAD = Text(
    "What differs between them beside the lungs, a model may learn instead.",
    "Ce qui diffère entre elles hors des poumons, un modèle peut l’apprendre à la place.",
)
SHEETS = Text("Some images of each label", "Quelques images de chaque étiquette")
MEAN_OF = Text("Mean of {label}", "Moyenne de {label}")
SHEET_OF = Text("{label}: {shown} of {total} images", "{label} : {shown} images sur {total}")
CHECKS = {
    "counts": Text("What there is", "Ce qu’il y a"),
    "unreadable": Text("Unreadable files", "Fichiers illisibles"),
    "empty": Text("Empty files", "Fichiers vides"),
    "blank": Text("Blank images", "Images vides"),
    "tiny": Text("Tiny images", "Images minuscules"),
    "extreme_aspect": Text("Extreme aspect ratios", "Proportions extrêmes"),
    "wrong_type": Text("Type against extension", "Type contraire à l’extension"),
    "colour": Text("Colour that carries information", "Couleur porteuse d’information"),
    "inverted": Text("Inverted images", "Images inversées"),
    "rotated": Text("Turned images", "Images tournées"),
    "mirrored": Text("Mirrored images", "Images en miroir"),
    "lateral": Text("Lateral views", "Vues de profil"),
    "declared_size": Text("Sizes against metadata", "Tailles contraires aux métadonnées"),
    "declared_format": Text("Formats against metadata", "Formats contraires aux métadonnées"),
    "declared_label": Text("Labels against metadata", "Étiquettes contraires aux métadonnées"),
    "named_label": Text("Labels against file names", "Étiquettes contraires aux noms de fichiers"),
    "names": Text("Names that collide", "Noms en collision"),
    "missing_files": Text("Missing files", "Fichiers manquants"),
    "surplus_files": Text("Surplus files", "Fichiers en trop"),
    "imbalance": Text("Unequal labels", "Étiquettes inégales"),
    "patients": Text("Patients", "Patients"),
    "split_labels": Text("Labels in every split", "Étiquettes dans chaque partie"),
    "exact_duplicates": Text("Exact duplicates", "Doublons exacts"),
    "near_duplicates": Text("Near-duplicates", "Quasi-doublons"),
    "duplicates_across_labels": Text("Duplicates across labels", "Doublons entre étiquettes"),
    "duplicates_across_splits": Text("Duplicates across splits", "Doublons entre parties"),
    "duplicates_across_sources": Text(
        "Duplicates across data sets", "Doublons entre jeux de données"
    ),
    "patient_leakage": Text("Patients across splits", "Patients à cheval sur plusieurs parties"),
    "duplicate_leakage": Text("Duplicates leaking", "Fuite par doublons"),
    "shortcuts": Text("Shortcuts", "Raccourcis"),
    "label_source": Text("Sources behind labels", "Provenances derrière les étiquettes"),
    "sources": Text("Sources", "Provenances"),
    "markers": Text("Corner text and markers", "Textes et repères dans les coins"),
    "label_suspects": Text("Label-error suspects", "Étiquettes suspectes"),
}
"""By the name of the audit's check."""
