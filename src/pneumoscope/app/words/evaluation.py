"""Evaluation."""

from pneumoscope.app.language import Text

TITLE = Text("Evaluation", "Évaluation")
LEAD = Text(
    "What the figures are, what a threshold costs, and what speaks against believing them.",
    "Quels sont les chiffres, ce que coûte un seuil, et ce qui incite à ne pas y croire.",
)
POINT = Text("Operating point", "Point de fonctionnement")
POINT_LEAD = Text(
    "Move the threshold and the prevalence: how many with {label} are found, how many without are "
    "left alone, and what a positive or a negative answer is then worth.",
    "Déplacez le seuil et la prévalence : combien de clichés avec {label} sont trouvés, combien "
    "d’autres sont laissés en paix, et ce que vaut alors une réponse positive ou négative.",
)
OF_INTEREST = Text("Label of interest", "Étiquette étudiée")
THRESHOLD = Text(
    "Threshold: positive from this probability of {label}",
    "Seuil : positif à partir de cette probabilité de {label}",
)
PREVALENCE = Text(
    "Prevalence of {label} where it will be used", "Prévalence de {label} là où il servira"
)
CHOSEN = Text("Chosen on the calibration split", "Choisis sur la partie de calibration")
POINT_NAMES = {
    "youden": Text("Youden", "Youden"),
    "sensitivity": Text("Sensitivity ≥ {value}", "Sensibilité ≥ {value}"),
    "specificity": Text("Specificity ≥ {value}", "Spécificité ≥ {value}"),
}
COST_NAME = Text(
    "A miss worth {value} {ratio:false alarm|false alarms}, at {share}",
    "Un oubli vaut {value} {ratio:fausse alerte|fausses alertes}, à {share}",
)
COST_NAME_HERE = Text(
    "A miss worth {value} {ratio:false alarm|false alarms}",
    "Un oubli vaut {value} {ratio:fausse alerte|fausses alertes}",
)
COSTS_MOVE = Text(
    "Thresholds of least cost are chosen for the prevalence set above; the others do not depend on "
    "it.",
    "Les seuils de moindre coût sont choisis pour la prévalence indiquée ; les autres n’en "
    "dépendent pas.",
)
THERE = Text(
    "The threshold is compared with the probabilities that are served, which hold at a prevalence "
    "of {own}. At {prevalence}, an image on the threshold has {label} with a probability of "
    "{there}.",
    "Le seuil se compare aux probabilités données par le modèle, qui valent pour une prévalence de "
    "{own}. À {prevalence}, un cliché sur le seuil porte {label} avec une probabilité de {there}.",
)
SENSITIVITY = Text("Sensitivity", "Sensibilité")
SPECIFICITY = Text("Specificity", "Spécificité")
PPV = Text("PPV, positive predictive value", "VPP, valeur prédictive positive")
NPV = Text("NPV, negative predictive value", "VPN, valeur prédictive négative")
OF_THOUSAND = Text(
    "Of 1000 such images, {positive} would be called positive, {right} of them rightly; "
    "{missed} with {label} would be missed.",
    "Sur 1000 clichés de ce type, {positive} {positive:serait dit positif|seraient dits positifs}, "
    "dont {right} à raison ; {missed} avec {label} {missed:serait manqué|seraient manqués}.",
)
OF_NONE = Text(
    "How many of 1000 cannot be told: no image was answered that has {label}, or none that has it "
    "not.",
    "Combien sur 1000, on ne peut le dire : aucun cliché évalué ne porte {label}, ou tous le "
    "portent.",
)
SPREAD = Text("Probabilities by true label", "Probabilités selon la vraie étiquette")
SPREAD_ALT = Text(
    "Histogram: images with {label} above, others below, and the threshold at {threshold}.",
    "Histogramme : clichés avec {label} en haut, les autres en bas, et le seuil à {threshold}.",
)
WITH = Text("with {label}", "avec {label}")
WITHOUT = Text("without", "sans")
CURVES = Text("Probabilities and abstention", "Probabilités et abstention")
FIGURES = {
    "reliability_before_after": (
        Text("Reliability", "Fiabilité"),
        Text(
            "How often answers are right at the probability they state, before and after "
            "calibration; on the diagonal they keep their word.",
            "À quelle fréquence les réponses sont justes pour la probabilité annoncée, avant et "
            "après calibration ; sur la diagonale, elles tiennent parole.",
        ),
    ),
    "risk_coverage": (
        Text("Risk and coverage", "Risque et couverture"),
        Text(
            "What share of answers is wrong when only the surest are given.",
            "Quelle part des réponses est fausse quand on ne donne que les plus sûres.",
        ),
    ),
    "roc": (
        Text("ROC curve", "Courbe ROC"),
        Text(
            "What is found against what is falsely called, at every threshold.",
            "Ce qui est trouvé contre ce qui est signalé à tort, à chaque seuil.",
        ),
    ),
    "confusion": (
        Text("Confusion matrix", "Matrice de confusion"),
        Text("Which label is taken for which.", "Quelle étiquette est prise pour quelle autre."),
    ),
}
VERDICT = Text("Verdict", "Verdict")
LIMIT = Text("Limit:", "Limite :")
NO_ASSESSMENT = Text(
    "This run was not assessed. Evaluate it again with this version: pneumoscope evaluate BUNDLE "
    "DATA",
    "Cette exécution n’a pas été jugée. Évaluez-la avec cette version : pneumoscope evaluate "
    "MODÈLE DONNÉES",
)
GALLERY = Text("Surest mistakes", "Erreurs les plus sûres")
GALLERY_LEAD = Text(
    "The radiograph, and beside it where the evidence for the wrong answer lay.",
    "Le cliché, et à côté où se trouvaient les indices de la réponse fausse.",
)
GALLERY_OTHER = Text(
    "These are the mistakes of another model than the one that is open here. Start the app with "
    "this run’s bundle to see them: --bundle {bundle}",
    "Ce sont les erreurs d’un autre modèle que celui ouvert ici. Lancez l’application avec le "
    "modèle de cette exécution pour les voir : --bundle {bundle}",
)
NO_MISTAKE = Text(
    "No image was given a wrong label.", "Aucun cliché n’a reçu une étiquette fausse."
)
MISTAKE = Text(
    "{truth}, taken for {answered} ({probability})", "{truth}, pris pour {answered} ({probability})"
)
