"""What every page says."""

from pneumoscope.app.language import Text

NOT_RECORDED = {"not recorded": Text("not recorded", "non renseigné")}
TITLE = Text("Pneumoscope", "Pneumoscope")
NOTICE = Text(
    "For research use. Not a medical device.",
    "Pour la recherche. N’est pas un dispositif médical.",
)
FOOT = Text(
    "Everything stays on this machine: pictures are answered in memory, none is sent, and none is "
    "kept after the visit.",
    "Tout reste sur cette machine : les images sont lues en mémoire, aucune n’est envoyée, ni "
    "gardée après la visite.",
)
LANGUAGE = Text("Language", "Langue")
NAMES = {
    "en": Text("English", "English"),
    "fr": Text("Français", "Français"),
}
"""Of the languages, each in itself."""
PAGES = {
    "overview": Text("Overview", "Vue d’ensemble"),
    "data": Text("Data", "Données"),
    "experiments": Text("Experiments", "Expériences"),
    "evaluation": Text("Evaluation", "Évaluation"),
    "try": Text("Try it", "Essayer"),
    "review": Text("Review", "Relecture"),
}
FAILED = Text("This cannot be shown", "Cela ne peut être affiché")
BROKEN = Text(
    "This page met something it does not know ({kind}); where is in the terminal. Reload it. If it "
    "stays, start the app with other runs, or another bundle or audit, and report it.",
    "Cette page a rencontré quelque chose qu’elle ne connaît pas ({kind}) ; le terminal dit où. "
    "Rechargez-la. Si cela persiste, lancez l’application avec d’autres exécutions, un autre "
    "modèle ou un autre audit, et signalez-le.",
)
NO_BUNDLE = Text(
    "No model was given. Start the app with --bundle FOLDER, such as: pneumoscope app --bundle "
    "runs/demo/bundle",
    "Aucun modèle n’a été donné. Lancez l’application avec --bundle DOSSIER, par exemple : "
    "pneumoscope app --bundle runs/demo/bundle",
)
NO_RUNS = Text(
    "No run was found. Start the app with --runs FOLDER, the folder of a training or one above "
    "several, such as: pneumoscope app --runs runs",
    "Aucune exécution n’a été trouvée. Lancez l’application avec --runs DOSSIER, le dossier d’un "
    "entraînement ou celui qui en contient plusieurs, par exemple : pneumoscope app --runs runs",
)
NO_AUDIT = Text(
    "No audit was given. Run: pneumoscope audit DATA --output runs/audit, then start the app with "
    "--audit runs/audit",
    "Aucun audit n’a été donné. Lancez : pneumoscope audit DONNÉES --output runs/audit, puis "
    "l’application avec --audit runs/audit",
)
NO_PICTURES = Text(
    "The pictures are not in this machine’s cache. Run the audit or the training here once, and "
    "they are.",
    "Les images ne sont pas dans le cache de cette machine. Lancez-y l’audit ou l’entraînement une "
    "fois, et elles y seront.",
)
RUN = Text("Run", "Exécution")
IMAGES = Text("Images", "Images")
METRICS = {
    "auc": Text("AUC", "AUC"),
    "average_precision": Text("Average precision", "Précision moyenne"),
    "accuracy": Text("Accuracy", "Exactitude"),
    "balanced_accuracy": Text("Balanced accuracy", "Exactitude équilibrée"),
    "macro_f1": Text("F1, macro", "F1 macro"),
    "mcc": Text("Matthews correlation", "Corrélation de Matthews"),
    "brier": Text("Brier score", "Score de Brier"),
    "ece": Text("Calibration error", "Erreur de calibration"),
    "log_loss": Text("Log loss", "Perte logarithmique"),
    "sensitivity": Text("Sensitivity", "Sensibilité"),
    "specificity": Text("Specificity", "Spécificité"),
}
OF_LABEL = Text("{metric}, {label}", "{metric}, {label}")
INTERVAL = Text("{level} CI {interval}", "IC à {level} {interval}")
COLOURS = {
    "green": Text("Good", "Bon"),
    "amber": Text("With reservations", "Avec réserves"),
    "red": Text("Not as it is", "Insuffisant"),
    "grey": Text("Not judged", "Non jugé"),
}
"""The verdict's colours in words."""
COLOUR_NAMES = {
    "green": Text("Green", "Vert"),
    "amber": Text("Amber", "Orange"),
    "red": Text("Red", "Rouge"),
    "grey": Text("Not judged", "Non jugé"),
}
VERDICT_ON = Text("Verdict on this model", "Verdict sur ce modèle")
VERDICT_SAYS = Text("{on}: {name}. {sentence}.", "{on} : {name}. {sentence}.")
OVERALL = {
    "green": Text(
        "Nothing that was measured speaks against the figures",
        "Rien de ce qui a été mesuré ne contredit les chiffres",
    ),
    "amber": Text(
        "The figures stand with reservations", "Les chiffres tiennent, avec des réserves"
    ),
    "red": Text("The figures do not stand as they are", "Les chiffres ne tiennent pas en l’état"),
    "grey": Text(
        "Nothing that was measured speaks against the figures, but not all was measured",
        "Rien de ce qui a été mesuré ne contredit les chiffres, mais tout n’a pas été mesuré",
    ),
}
ITEMS = {
    "discrimination": Text("Discrimination", "Discrimination"),
    "calibration": Text("Calibration", "Calibration"),
    "operating points": Text("Operating points", "Points de fonctionnement"),
    "label sets": Text("Label sets", "Ensembles d’étiquettes"),
    "groups": Text("Groups", "Groupes"),
    "shortcuts": Text("Shortcuts", "Raccourcis"),
    "sources": Text("Sources", "Provenances"),
    "robustness": Text("Robustness", "Robustesse"),
    "saliency": Text("Saliency", "Saillance"),
    "shift": Text("Shift", "Dérive"),
    "sample size": Text("Sample size", "Taille de l’échantillon"),
}
"""What the verdict judges."""
QUESTIONS = {
    "discrimination": Text(
        "Are images with the label ranked above those without it?",
        "Les images qui portent l’étiquette sont-elles classées avant les autres ?",
    ),
    "calibration": Text(
        "Is a probability of 80% right eight times in ten?",
        "Une probabilité de 80 % est-elle juste huit fois sur dix ?",
    ),
    "operating points": Text(
        "Do thresholds keep the rates they promised?",
        "Les seuils tiennent-ils les taux promis ?",
    ),
    "label sets": Text(
        "Do the sets hold the true label as often as they say?",
        "Les ensembles contiennent-ils la vraie étiquette aussi souvent qu’annoncé ?",
    ),
    "groups": Text(
        "Is the model as good for every group of patients?",
        "Le modèle est-il aussi bon pour chaque groupe de patients ?",
    ),
    "shortcuts": Text(
        "Could something other than the chest explain the answers?",
        "Autre chose que le thorax pourrait-il expliquer les réponses ?",
    ),
    "sources": Text(
        "Could it be telling where an image comes from?",
        "Reconnaît-il seulement la provenance d’une image ?",
    ),
    "robustness": Text(
        "Do answers survive noise, blur and other exposure?",
        "Les réponses résistent-elles au bruit, au flou, à une autre exposition ?",
    ),
    "saliency": Text(
        "Does the marked evidence matter to the answer?",
        "Les indices marqués comptent-ils vraiment pour la réponse ?",
    ),
    "shift": Text(
        "Are the images like those that set the thresholds?",
        "Les images ressemblent-elles à celles qui ont fixé les seuils ?",
    ),
    "sample size": Text(
        "Are there enough images to say so?", "Y a-t-il assez d’images pour l’affirmer ?"
    ),
}
