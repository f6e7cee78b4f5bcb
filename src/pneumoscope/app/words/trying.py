"""Try it."""

from pneumoscope.app.language import Text

TITLE = Text("Try a radiograph", "Essayer un cliché")
LEAD = Text(
    "Drop a chest radiograph. First the gate says whether it can be read at all, then the model "
    "answers, or says why it does not.",
    "Déposez une radiographie du thorax. D’abord le filtre dit si elle peut être lue, puis le "
    "modèle répond, ou dit pourquoi il s’abstient.",
)
UPLOAD = Text(
    "PNG, JPEG or DICOM, one or several, {most} MB each at most",
    "PNG, JPEG ou DICOM, un ou plusieurs, {most} Mo chacun au plus",
)
EXAMPLES = Text("Or take a drawn phantom", "Ou prenez un fantôme dessiné")
EXAMPLE = Text("Phantom, {label}", "Fantôme, {label}")
PHANTOM_NOTE = Text(
    "Drawn by this program; no one’s anatomy.", "Dessiné par ce programme ; l’anatomie de personne."
)
CLEAR = Text("Put the phantom away", "Retirer le fantôme")
TOO_MANY = Text(
    "{given} files were given; the first {most} are answered. For folders there is `pneumoscope "
    "predict`.",
    "{given} fichiers donnés ; les {most} premiers sont traités. Pour un dossier : `pneumoscope "
    "predict`.",
)
WHICH = Text("Which radiograph", "Quel cliché")
NAME = Text("File", "Fichier")
ANSWER = Text("Answer", "Réponse")
PROBABILITY = Text("Probability", "Probabilité")
WORKING = Text("Looking at {name}", "Lecture de {name}")
DONE = Text("Answered in {milliseconds} ms", "Répondu en {milliseconds} ms")
OF_FILE = Text("{name}: {done}", "{name} : {done}")
STEPS = {
    "read": Text("Read and check the file", "Lire et vérifier le fichier"),
    "answer": Text("Pass the gate, ask the model", "Passer le filtre, interroger le modèle"),
    "draw": Text("Bring the evidence onto the radiograph", "Reporter les indices sur le cliché"),
}
TIMINGS = {
    "read": Text("Reading", "Lecture"),
    "gate": Text("Gate", "Filtre"),
    "model": Text("Model", "Modèle"),
}
TOOK = Text("{step}: {milliseconds} ms", "{step} : {milliseconds} ms")
GATE = Text("Gate", "Filtre d’entrée")
NO_GATE = Text(
    "This bundle has no gate: anything is answered, a photograph too.",
    "Ce modèle n’a pas de filtre : tout reçoit une réponse, même une photographie.",
)
STAGES = {
    "modality": Text("A chest?", "Un thorax ?"),
    "quality": Text("Readable?", "Lisible ?"),
    "familiarity": Text("Familiar?", "Familier ?"),
}
OUTCOMES = {
    "passed": Text("Passed", "Accepté"),
    "warned": Text("With a warning", "Avec réserve"),
    "refused": Text("Refused", "Refusé"),
}
PASSED = {
    "modality": Text(
        "probability of a chest radiograph {score}", "probabilité d’un thorax {score}"
    ),
    "quality": Text("no fault seen", "aucun défaut vu"),
    "familiarity": Text(
        "{score} of calibration images are less familiar",
        "{score} des clichés de calibration sont moins familiers",
    ),
}
DECISIONS = {
    "answer": Text("{label}", "{label}"),
    "set": Text("One of: {labels}", "L’un de : {labels}"),
    "abstain": Text("No answer", "Pas de réponse"),
    "refused": Text("Turned away by the gate", "Écarté par le filtre"),
    "unreadable": Text("Cannot be read", "Illisible"),
}
SURE = Text(
    "Calibrated probability {probability}. The label set at {level} confidence holds it alone.",
    "Probabilité calibrée {probability}. L’ensemble d’étiquettes à {level} de confiance ne "
    "contient qu’elle.",
)
PROBABILITY_ONLY = Text(
    "Calibrated probability {probability}.", "Probabilité calibrée {probability}."
)
REASON = Text("Because: {reason}.", "Parce que : {reason}.")
REASON_OF = Text("It {reason}.", "Ce cliché {reason}.")
REASON_IN_ENGLISH = Text("Because: {reason}.", "Raison, en anglais : {reason}.")
PROBABILITIES = Text("Calibrated probabilities", "Probabilités calibrées")
LABEL_SET = Text("Cannot be excluded", "Ne peut être exclu")
NOTHING = Text("no label", "aucune étiquette")
POINT_AT = Text("{name}, {label} from\u00a0{threshold}", "{name}, {label} dès\u00a0{threshold}")
SIDES = {"yes": Text("positive", "positif"), "no": Text("negative", "négatif")}
RADIOGRAPH = Text("Radiograph and evidence", "Cliché et indices")
STORED = Text(
    "{width} × {height} pixels, {bits} bits, {format}",
    "{width} × {height} pixels, {bits} bits, {format}",
)
SIMILAR = Text("Similar training images", "Images d’entraînement semblables")
SIMILAR_LEAD = Text(
    "The nearest of those the model learnt from, as its gate sees them; at distance 0 it is the "
    "same image.",
    "Les plus proches de celles que le modèle a apprises, telles que son filtre les voit ; à "
    "distance 0, c’est la même image.",
)
SIMILAR_ONE = Text("{label}, distance\u00a0{distance}", "{label}, distance\u00a0{distance}")
TRAINED_ON = Text(
    "The model was trained on this image, or on a copy of it: its answer proves nothing.",
    "Le modèle a été entraîné sur cette image ou une copie : sa réponse ne prouve rien.",
)
NOT_AT_HAND = Text(
    "Not at hand: they are shown where the app is given this model’s run with --runs, and the "
    "training images are still on this machine.",
    "Non disponibles : elles s’affichent quand l’application reçoit l’exécution de ce modèle avec "
    "--runs et que les images d’entraînement sont encore sur cette machine.",
)
TAKE = Text("Take it along", "Emporter le résultat")
PDF = Text("One-page PDF", "PDF d’une page")
PNG = Text("PNG", "PNG")
JSON = Text("JSON", "JSON")
MODEL = Text("Model {name}, {id}", "Modèle {name}, {id}")
EVIDENCE = Text("Evidence for {label}", "Indices pour {label}")
ORIGINAL = Text("Radiograph", "Cliché")
IMAGE = Text("Image as it was read", "Image telle que lue")
