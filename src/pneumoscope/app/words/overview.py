"""Overview."""

from pneumoscope.app.language import Text

WELCOME = Text("A classifier you can question", "Un classifieur que l’on peut interroger")
LEAD = Text(
    "“{name}” reads a chest radiograph and says which of {labels} it shows, how sure it is, and "
    "where it looked. It declines when it cannot tell.",
    "« {name} » lit une radiographie du thorax et dit ce qu’elle montre parmi {labels}, avec "
    "quelle certitude, et où il a regardé. Il s’abstient quand il ne peut pas trancher.",
)
LEAD_RUNS = Text(
    "What was trained, how good it is, and how far that can be believed.",
    "Ce qui a été entraîné, ce que cela vaut, et jusqu’où l’on peut s’y fier.",
)
TESTED = Text(
    "Measured on {images} images of {patients} patients ({data}).",
    "Mesuré sur {images} images de {patients} patients ({data}).",
)
TESTED_MOST = Text(
    "Measured on {images} images of at most {patients} patients ({data}). The patients "
    "of {unknown} images are not known; each counts as one.",
    "Mesuré sur {images} images d’au plus {patients} patients ({data}). Les patients "
    "de {unknown} images ne sont pas connus ; chacune compte pour un.",
)
TESTED_IMAGES = Text(
    "Measured on {images} images ({data}). Their patients are not known.",
    "Mesuré sur {images} images ({data}). Leurs patients ne sont pas connus.",
)
FROM_CARD = Text("Told by the model’s own card.", "D’après la fiche du modèle, en anglais :")
CARD = Text("The model card", "La fiche du modèle (en anglais)")
CARD_SILENT = Text(
    "The model’s card tells neither a verdict nor a figure: nothing is known of what its answers "
    "are worth. Evaluate it: pneumoscope evaluate BUNDLE DATA",
    "La fiche du modèle ne dit ni verdict ni chiffre : rien ne dit ce que valent ses réponses. "
    "Évaluez-le : pneumoscope evaluate MODÈLE DONNÉES",
)
OTHER_RUNS = Text(
    "None of the runs given is of this model. Give the one that made it with --runs to see its "
    "curves on Evaluation.",
    "Aucune des exécutions données n’est de ce modèle. Donnez avec --runs celle qui l’a produit "
    "pour voir ses courbes dans Évaluation.",
)
NOT_GREEN = Text("To be read first: {items}.", "À lire d’abord : {items}.")
ALL_GREEN = Text("Every item was judged good.", "Chaque point a été jugé bon.")
NOT_JUDGED = Text("Nothing was judged in this run.", "Rien n’a été jugé dans cette exécution.")
VERDICT = Text("What the verdict looks at", "Ce que le verdict examine")
MODEL = Text("The model", "Le modèle")
FACTS = {
    "name": Text("Name", "Nom"),
    "id": Text("Model id", "Identifiant"),
    "backbone": Text("Backbone", "Réseau"),
    "labels": Text("Label set", "Étiquettes"),
    "training": Text("Training images", "Images d’entraînement"),
    "gate": Text("Gate", "Filtre d’entrée"),
    "licence": Text("Licence", "Licence"),
}
GATE = {
    "yes": Text(
        "turns away what is no chest radiograph, cannot be read, or is unfamiliar",
        "écarte ce qui n’est pas un thorax, n’est pas lisible ou sort de l’ordinaire",
    ),
    "no": Text("none in this bundle", "aucun dans ce modèle"),
}
LIMITS = Text("What it is not", "Ce qu’il n’est pas")
LIMITS_TEXT = (
    Text(
        "A diagnosis. It knows its labels and no other disease; a second finding is not seen.",
        "Un diagnostic. Il connaît ses étiquettes et aucune autre maladie ; une seconde anomalie "
        "n’est pas vue.",
    ),
    Text(
        "A promise elsewhere. Other machines, patients and prevalences change every figure.",
        "Une promesse ailleurs. D’autres appareils, patients et prévalences changent les chiffres.",
    ),
    Text(
        "An explanation. A saliency map says where the evidence lies, not why it counts.",
        "Une explication. Une carte de saillance dit où sont les indices, pas leur raison.",
    ),
)
GO = Text("Try a radiograph", "Essayer un cliché")
READ = Text("Read the evaluation", "Lire l’évaluation")
