"""Review."""

from pneumoscope.app.language import Text

TITLE = Text("Review labels", "Relire les étiquettes")
LEAD = Text(
    "The images whose label the audit doubts, the most suspect first. Some are errors, some are "
    "only hard.",
    "Les images dont l’audit doute, la plus suspecte d’abord. Certaines sont des erreurs, d’autres "
    "sont seulement difficiles.",
)
NONE = Text(
    "The audit doubts no label. With --bundle it looks closer: pneumoscope audit DATA --bundle "
    "BUNDLE",
    "L’audit ne doute d’aucune étiquette. Avec --bundle il regarde de plus près : pneumoscope "
    "audit DONNÉES --bundle MODÈLE",
)
PLACE = Text(
    "Image {at} of {total}, {decided} {decided:decided|decided}",
    "Image {at} sur {total}, {decided} {decided:décidée|décidées}",
)
IN_DATA = Text("Label in the data", "Étiquette dans les données")
DOUBT = Text("Doubt", "Doute")
DOUBTS = {
    "label_suspects": Text(
        "{share} of its nearest neighbours carry another label",
        "{share} de ses plus proches voisines portent une autre étiquette",
    ),
    "declared_label": Text("its metadata say another label", "ses métadonnées disent autre chose"),
    "named_label": Text("its file name says another label", "son nom de fichier dit autre chose"),
    "duplicates_across_labels": Text(
        "a copy of it carries another label", "une copie porte une autre étiquette"
    ),
}
FILE = Text("File", "Fichier")
DECIDED = Text("Decided", "Décidé")
UNDECIDED = Text("not yet", "pas encore")
DECISIONS = {
    "keep": Text("Keep {label}", "Garder {label}"),
    "relabel": Text("Relabel as {label}", "Changer pour {label}"),
    "exclude": Text("Exclude", "Exclure"),
}
OTHER = Text("New label", "Nouvelle étiquette")
BACK = Text("Previous", "Précédente")
NEXT = Text("Next", "Suivante")
KEYS = Text(
    "Keys: K keep, L relabel, X exclude, left and right to move.",
    "Touches : K garder, L changer, X exclure, gauche et droite pour se déplacer.",
)
PICTURE = Text("{path}, labelled {label}", "{path}, étiquetée {label}")
SAVE = Text("Save {n} {n:decision|decisions}", "Enregistrer {n} {n:décision|décisions}")
SAVED = Text("Saved as {file}", "Enregistré sous {file}")
APPLY = Text(
    "Train with it: pneumoscope train DATA --set data.patch={file}",
    "Entraînez avec : pneumoscope train DONNÉES --set data.patch={file}",
)
DOWNLOAD = Text("Download the decisions", "Télécharger les décisions")
FROM = Text(
    "Goes on from {file}: {n} {n:decision|decisions}.",
    "Reprend {file} : {n} {n:décision|décisions}.",
)
CLOSED = Text(
    "The audit’s folder cannot be written here. Download the decisions instead.",
    "Le dossier de l’audit ne peut être écrit ici. Téléchargez plutôt les décisions.",
)
