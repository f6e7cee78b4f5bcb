"""Why something is not answered: the program's own sentences, in French.

Each pattern is what `imaging`, `bundle.gate` and `evaluation.decisions` write, without the remedy
for those who read files in bulk ("exclude it"); in English their own sentences are shown.
"""

_AGAIN = r"(?:\. .+)?"
"""The remedy, which is written anew."""

REASONS = {
    r"is no chest radiograph \(probability (.+)\)": (
        "n’est pas une radiographie du thorax (probabilité {0})"
    ),
    r"may be no chest radiograph \(probability (.+)\)": (
        "n’est peut-être pas une radiographie du thorax (probabilité {0})"
    ),
    r"is blank": "est vide",
    r"is inverted: a negative\. Invert it back": "est inversé : un négatif. Rétablissez-le",
    r"is turned by 90 degrees to the left\. Turn it back": (
        "est tourné de 90 degrés vers la gauche. Redressez-le"
    ),
    r"is turned by 90 degrees to the right\. Turn it back": (
        "est tourné de 90 degrés vers la droite. Redressez-le"
    ),
    r"is turned by 180 degrees\. Turn it back": "est tourné de 180 degrés. Redressez-le",
    r"may be cut off: part of the lungs is missing": (
        "est peut-être coupé : une partie des poumons manque"
    ),
    r"shows no two lungs side by side: a lateral view\?": (
        "ne montre pas deux poumons côte à côte : un profil ?"
    ),
    r"is unfamiliar: (\S+) % of the calibration images .+": (
        "sort de l’ordinaire : {0} % des clichés de calibration ressemblent plus à ceux de "
        "l’entraînement, et les performances annoncées peuvent ne pas tenir"
    ),
    r"no label is usual for such an image": "aucune étiquette n’est habituelle pour un tel cliché",
    r"the most probable label is unusual for such an image": (
        "l’étiquette la plus probable est inhabituelle pour un tel cliché"
    ),
    r"confidence (\S+) is not above (\S+)": "la confiance {0} ne dépasse pas {1}",
    r"no label can be excluded": "aucune étiquette ne peut être exclue",
    r"several labels are possible": "plusieurs étiquettes sont possibles",
    rf"(\d[\d,]*) x (\d[\d,]*) pixels; allowed: ([\d,]+) pixels{_AGAIN}": (
        "{0} × {1} pixels ; autorisé : {2} pixels en tout. Exportez-le en plus petit"
    ),
    rf"(\d[\d,]*) x (\d[\d,]*) pixels; allowed: (\d+) or more on each side{_AGAIN}": (
        "{0} × {1} pixels ; il en faut {2} ou plus de chaque côté. Exportez-le en plus grand"
    ),
    rf"([\d,]+) bytes; allowed: ([\d,]+){_AGAIN}": (
        "{0} octets ; autorisé : {1}. Exportez-le en plus petit"
    ),
    rf"more bytes than allowed: ([\d,]+) once inflated{_AGAIN}": (
        "plus de {0} octets une fois décompressé. Exportez-le en plus petit"
    ),
    r"starts with .+; supported: (.+?)\. .+": (
        "n’est pas une image lue ici ; formats acceptés : {0}. Exportez-le de nouveau"
    ),
    r"is empty; supported: (.+?)\. .+": (
        "est vide ; formats acceptés : {0}. Exportez-le de nouveau"
    ),
    r"is not a file\. .+": "n’est pas un fichier. Donnez un fichier",
    r"not a DICOM\. .+": "n’est pas un DICOM. Donnez-en un",
    r"cannot be opened \((.+)\)\. .+": (
        "ne peut être ouvert ({0}). Vérifiez le chemin et les droits d’accès"
    ),
    r"does not fit into memory\. .+": (
        "ne tient pas en mémoire. Libérez de la mémoire ou réduisez l’image"
    ),
    r"its lung mask marks no lung\. .+": "son masque ne marque aucun poumon. Corrigez-le",
    r"the (PNG|JPEG|DICOM)(?: ends too early| is cut short).*": (
        "le {0} s’arrête trop tôt : le fichier est tronqué. Exportez-le de nouveau"
    ),
    r".*: the file is cut short\. .+": "le fichier est tronqué. Exportez-le de nouveau",
    r"the compressed image data end too early\. .+": (
        "les données compressées s’arrêtent trop tôt. Exportez-le de nouveau"
    ),
    r"the compressed image data are not where they belong\. .+": (
        "les données compressées ne sont pas à leur place. Exportez-le de nouveau"
    ),
    r"the (.+) inside ends too early\. .+": (
        "le {0} qu’il contient s’arrête trop tôt. Exportez-le de nouveau"
    ),
    r"the (.+) inside took more than (\d+) s to decompress\. .+": (
        "le {0} qu’il contient met plus de {1} s à se décompresser. Exportez-le de nouveau"
    ),
    r"the (.+) inside has (\d+) x (\d+) pixels, the DICOM says (\d+) x (\d+)\. .+": (
        "le {0} qu’il contient a {1} × {2} pixels, le DICOM en annonce {3} × {4}. Exportez-le de "
        "nouveau"
    ),
    r"the (.+) inside has not the segments that it needs\. .+": (
        "il manque des segments au {0} qu’il contient. Exportez-le de nouveau"
    ),
    r"the (.+) inside is damaged.*": "le {0} qu’il contient est endommagé. Exportez-le de nouveau",
    r"the (?:deflated )?(PNG|JPEG|DICOM) (?:is damaged|does not begin with its header).*": (
        "le {0} est endommagé. Exportez-le de nouveau"
    ),
    r"the image data are damaged \((.+)\)\. .+": (
        "les données de l’image sont endommagées ({0}). Exportez-le de nouveau"
    ),
    r"(PNG|JPEG|DICOM) (?:of more than [\d,]+ .+|with .+|without its palette)\. .+": (
        "le {0} n’est pas bâti comme il doit l’être. Exportez-le de nouveau"
    ),
    r"animated PNG; .+": "PNG animé ; une seule image est lue. Exportez-en une seule",
    r"16-bit colour PNG; .+": "PNG en couleur de 16 bits. Enregistrez-le en niveaux de gris",
    r"colour(?: inside| \(.*\)); .+": "image en couleur ; il faut du gris. Exportez-la en gris",
    r"(?:an unknown number of|\d+) frames; supported: one\. .+": (
        "plusieurs vues dans un fichier ; une seule est lue. Exportez-en une seule"
    ),
    r"DICOM without an image \(.+\)\. .+": "le DICOM ne contient pas d’image. Donnez l’image",
    r"pixels of floating point; .+": (
        "pixels à virgule flottante ; il faut des nombres entiers. Exportez-le de nouveau"
    ),
    r"pixels are (.+); .+": "pixels d’une autre forme : {0}. Convertissez-les",
    r"no usable photometric interpretation; .+": (
        "le DICOM ne dit pas comment lire ses gris. Exportez-le de nouveau"
    ),
    r"compressed in an unknown way; .+": (
        "compressé d’une façon inconnue. Enregistrez-le sans compression"
    ),
    r"(JPEG(?: 2000)?) of an unsupported kind.*": (
        "{0} d’un genre qui n’est pas lu ici. Exportez-le de nouveau"
    ),
    r"12-bit JPEG Extended; .+": (
        "JPEG étendu de 12 bits ; 8 bits sont lus. Convertissez-le avec `gdcmconv --raw`"
    ),
    r"(.+) of (\d+) bits\. .+": "{0} de {1} bits. Exportez-le de nouveau",
    r"(.+) needs python-gdcm\. .+": "{0} demande python-gdcm. Installez-le",
    r"(.+) cannot be decompressed .+": (
        "{0} ne peut être décompressé. Libérez de la mémoire et réessayez"
    ),
    r"(?:a rescale|a window|a lookup table) .+": (
        "sa table de gris ne peut être appliquée. Exportez-le de nouveau"
    ),
    r".+ contradict each other\. .+": (
        "le DICOM se contredit sur ses pixels. Exportez-le de nouveau"
    ),
    r".+; supported: 1, 8, 16, 32\. .+": (
        "nombre de bits par pixel non pris en charge. Exportez-le de nouveau"
    ),
}
