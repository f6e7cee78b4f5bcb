"""Why something is not answered: the program's own sentences, in French.

Each pattern is what `imaging`, `bundle.gate` and `evaluation.decisions` write; what none of them
fits is shown in English, marked as such.
"""

from pneumoscope.app.language import Text

REASONS = {
    r"is no chest radiograph \(probability (.+)\)": Text(
        "is no chest radiograph (probability {0})",
        "n’est pas une radiographie du thorax (probabilité {0})",
    ),
    r"may be no chest radiograph \(probability (.+)\)": Text(
        "may be no chest radiograph (probability {0})",
        "n’est peut-être pas une radiographie du thorax (probabilité {0})",
    ),
    r"is blank": Text("is blank", "est vide"),
    r"is inverted: a negative\. Invert it back": Text(
        "is inverted: a negative. Invert it back", "est inversé : un négatif. Rétablissez-le"
    ),
    r"is turned by 90 degrees to the left\. Turn it back": Text(
        "is turned by 90 degrees to the left. Turn it back",
        "est tourné de 90 degrés vers la gauche. Redressez-le",
    ),
    r"is turned by 90 degrees to the right\. Turn it back": Text(
        "is turned by 90 degrees to the right. Turn it back",
        "est tourné de 90 degrés vers la droite. Redressez-le",
    ),
    r"is turned by 180 degrees\. Turn it back": Text(
        "is turned by 180 degrees. Turn it back", "est tourné de 180 degrés. Redressez-le"
    ),
    r"may be cut off: part of the lungs is missing": Text(
        "may be cut off: part of the lungs is missing",
        "est peut-être coupé : une partie des poumons manque",
    ),
    r"shows no two lungs side by side: a lateral view\?": Text(
        "shows no two lungs side by side: a lateral view?",
        "ne montre pas deux poumons côte à côte : un profil ?",
    ),
    r"is unfamiliar: (\S+) % of the calibration images .+": Text(
        "is unfamiliar: {0}% of the calibration images are more like the training images, and the "
        "stated performance may not hold",
        "sort de l’ordinaire : {0} % des clichés de calibration ressemblent plus à ceux de "
        "l’entraînement, et les performances annoncées peuvent ne pas tenir",
    ),
    r"no label is usual for such an image": Text(
        "no label is usual for such an image",
        "aucune étiquette n’est habituelle pour un tel cliché",
    ),
    r"no label can be excluded": Text(
        "no label can be excluded", "aucune étiquette ne peut être exclue"
    ),
    r"several labels are possible": Text(
        "several labels are possible", "plusieurs étiquettes sont possibles"
    ),
    r"([\d,]+) x ([\d,]+) pixels; allowed: ([\d,]+) pixels\. .+": Text(
        "{0} × {1} pixels; allowed: {2} pixels in all. Export it smaller",
        "{0} × {1} pixels ; autorisé : {2} pixels en tout. Exportez-le en plus petit",
    ),
    r"([\d,]+) bytes; allowed: ([\d,]+)\. .+": Text(
        "{0} bytes; allowed: {1}. Export it smaller",
        "{0} octets ; autorisé : {1}. Exportez-le en plus petit",
    ),
    r"starts with (.+); supported: (.+)\. .+": Text(
        "is no picture that is read here; supported: {1}. Export it again",
        "n’est pas une image lue ici ; formats acceptés : {1}. Exportez-le de nouveau",
    ),
    r"is empty; supported: (.+)\. .+": Text(
        "is empty; supported: {0}. Export it again",
        "est vide ; formats acceptés : {0}. Exportez-le de nouveau",
    ),
    r"the (PNG|JPEG|DICOM) (?:ends too early|is cut short).*": Text(
        "the {0} ends too early: the file is cut short. Export it again",
        "le {0} s’arrête trop tôt : le fichier est tronqué. Exportez-le de nouveau",
    ),
    r".*: the file is cut short\. .+": Text(
        "the file is cut short. Export it again", "le fichier est tronqué. Exportez-le de nouveau"
    ),
    r"the (PNG|JPEG|DICOM) is damaged.*": Text(
        "the {0} is damaged. Export it again", "le {0} est endommagé. Exportez-le de nouveau"
    ),
    r"the image data are damaged \((.+)\)\. .+": Text(
        "the image data are damaged ({0}). Export it again",
        "les données de l’image sont endommagées ({0}). Exportez-le de nouveau",
    ),
}
