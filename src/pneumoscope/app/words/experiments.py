"""Experiments."""

from pneumoscope.app.language import Text

TITLE = Text("Experiments", "Expériences")
LEAD = Text(
    "Every run that was kept: which is better, by how much, and whether that is more than chance.",
    "Toutes les exécutions conservées : laquelle est meilleure, de combien, et si c’est plus que "
    "le hasard.",
)
BOARD = Text("Leaderboard", "Classement")
ROLE = Text("Role", "Rôle")
ROLES = {
    "champion": Text("Champion", "Champion"),
    "challenger": Text("Challenger", "Challenger"),
    "candidate": Text("Candidate", "Candidat"),
    "run": Text("Run", "Exécution"),
}
ROLE_WORDS = Text(
    "The champion answers in this app. Challengers were tuned, candidates benchmarked under one "
    "protocol.",
    "Le champion répond dans cette application. Les challengers ont été réglés, les candidats "
    "comparés sous un même protocole.",
)
DATA = Text("Data", "Données")
SPLIT = Text("Split", "Partie")
OTHER_DATA = Text(
    "These runs were measured on different images, so their figures cannot be ranked against each "
    "other: those of the same data and split stand together.",
    "Ces exécutions ont été mesurées sur des images différentes : leurs chiffres ne se classent "
    "pas entre eux. Celles des mêmes données et de la même partie sont regroupées.",
)
NOT_OVERLAID = Text(
    "These runs were measured on different images: no ROC curves are drawn over each other.",
    "Ces exécutions ont été mesurées sur des images différentes : leurs courbes ROC ne sont pas "
    "superposées.",
)
TRACKED = Text("Kept in", "Conservée dans")
CHOOSE = Text("Runs side by side", "Exécutions côte à côte")
MOST = Text("Two to four runs", "Deux à quatre exécutions")
ROC = Text("ROC curves", "Courbes ROC")
HISTORY = Text("Training", "Entraînement")
CONFUSION = Text("Confusion matrix, {name}", "Matrice de confusion, {name}")
TEST = Text("Paired test", "Test apparié")
TEST_LEAD = Text(
    "Both runs on the very same images, patients kept whole.",
    "Les deux exécutions sur les mêmes images, patients gardés entiers.",
)
FIRST = Text("First run", "Première exécution")
SECOND = Text("Second run", "Seconde exécution")
DIFFERENCE = Text("Difference", "Différence")
P_VALUE = Text("p, corrected", "p corrigé")
METRIC = Text("Metric", "Mesure")
OUTCOMES = {
    "better": Text("{name} is better", "{name} est meilleure"),
    "tie": Text("Not told apart", "Non départagées"),
    "undecided": Text("Cannot be said", "Indécidable"),
}
SAYS = Text("Says", "Conclusion")
ONE_RUN = Text(
    "There is one run only. Train or benchmark another on the same data, and it can be compared.",
    "Il n’y a qu’une exécution. Entraînez-en une autre sur les mêmes données pour comparer.",
)
NOT_SHARED = Text("These runs cannot be compared", "Ces exécutions ne peuvent être comparées")
BENCHMARK = Text("Benchmark, {name}", "Banc d’essai, {name}")
CANDIDATE = Text("Candidate", "Candidat")
SECONDS = Text("Training, s", "Entraînement, s")
STORE = Text(
    "Runs of the MLflow store {store}. Give a folder with --runs to see their figures.",
    "Exécutions du dépôt MLflow {store}. Donnez un dossier avec --runs pour voir leurs figures.",
)
OPEN = Text("Open in MLflow", "Ouvrir dans MLflow")
BROWSE = Text("To browse a local store: {command}", "Pour parcourir un dépôt local : {command}")
