"""What the audit says, in French; in English its own messages are shown.

By the keys of `data.audit.keys`; gaps are written as in `findings`.
"""

ISSUES = {
    "set": "Jeu de données {source}.",
    "counts": "{images} {images:image utilisable|images utilisables} de {patients} "
    "{patients:patient connu|patients connus}, {labels} {labels:étiquette|étiquettes}.",
    "counts.left_out": "{images} {images:image ne peut servir ou en répète|images ne peuvent "
    "servir ou en répètent} une autre.",
    "imbalance": "« {common} » a {ratio:1} fois plus d’images que « {rare} » ({many} contre "
    "{few}) : l’exactitude dit alors peu. Pondérez les étiquettes à l’entraînement et lisez "
    "l’exactitude équilibrée et l’AUC.",
    "patients.few": "« {label} » a {images} {images:image|images} de seulement {patients} "
    "{patients:patient|patients} : les images d’un même patient se répètent, les chiffres de cette "
    "étiquette seront donc incertains. Réunissez plus de patients.",
    "patients.unknown": "Le patient de {images} {images:image|images} sur {total} est inconnu : "
    "les images d’un patient peuvent se retrouver des deux côtés d’une partition. Donnez les "
    "identifiants des patients s’il y en a.",
    "split_labels.absent": "La partie {split} n’a pas d’image de {labels}. On ne peut rien y "
    "apprendre ni mesurer de cette étiquette. Refaites la partition.",
    "split_labels.small": "La partie {split} n’a que {images} {images:image|images} de "
    "« {label} » : les chiffres mesurés dessus ne veulent rien dire. Refaites la partition.",
    "unreadable": "{images} {images:image ne peut être lue et ne servira|images ne peuvent être "
    "lues et ne serviront} pas : transfert interrompu, autre format, données endommagées. "
    "Exportez-les de nouveau ou retirez-les.",
    "empty": "{images} {images:fichier n’a|fichiers n’ont} aucun contenu : la copie s’est "
    "interrompue. Copiez-les de nouveau.",
    "blank": "{images} {images:image ne montre|images ne montrent} qu’un niveau de gris ; on ne "
    "peut rien en apprendre, et une étiquette apprise d’elles est fausse. Exportez-les de nouveau "
    "ou retirez-les.",
    "tiny": "{images} {images:image a|images ont} un côté de moins de {least_side} pixels, trop "
    "grossier pour des signes fins : souvent des vignettes. Trouvez les originaux ou écartez-les.",
    "extreme_aspect": "{images} {images:image est|images sont} plus de {greatest_ratio:0} fois "
    "plus longues que larges : des bandes, des montages ou des images coupées plutôt que des "
    "thorax. Regardez-les.",
    "wrong_type": "{images} {images:fichier contient|fichiers contiennent} un autre format que ne "
    "le dit leur nom (le contenu a été lu pour ce qu’il est). D’autres logiciels peuvent échouer "
    "dessus : renommez-les.",
    "colour": "{images} {images:image est|images sont} en couleur ; une radiographie est grise. Il "
    "en va ainsi de photographies de films, de captures d’écran ou d’annotations, et la couleur se "
    "perd à la lecture. Regardez-les.",
    "changed_set": "Ce jeu de {images} {images:image|images} est {change}, à en juger par sa "
    "médiane : elle ne ressemble à un thorax qu’une fois rétablie. Vérifiez comment toutes ont été "
    "exportées.",
    "inverted": "{images} {images:image a|images ont} l’air de négatifs : entourage clair, os "
    "noirs, comme des pixels MONOCHROME1 gardés sans leur balise. Un modèle l’apprendrait. "
    "Rétablissez-les.",
    "rotated": "{images} {images:image semble|images semblent} couchées ou la tête en bas. "
    "Regardez-les et redressez-les ; il peut s’en trouver d’inclinées ou de mal centrées.",
    "mirrored": "{images} {images:image semble|images semblent} montrer le cœur de l’autre côté. "
    "L’indice est faible : environ une image sur 200 a cet air par un épanchement, un poumon "
    "affaissé, une rotation du patient ou un situs inversus. Cherchez le repère de côté.",
    "lateral.declared": "{images} {images:image est|images sont} de profil d’après leurs propres "
    "données, à côté de vues de face. Entraînez sur une seule incidence.",
    "lateral.likely": "{images} {images:image ne montre|images ne montrent} pas deux poumons côte "
    "à côte : profils, poumons seuls ou thorax très décentrés. Regardez-les ; un profil enseigne "
    "d’autres signes.",
    "declared_size": "{images} {images:image a|images ont} une autre taille que ne le disent les "
    "métadonnées : redimensionnées ou remplacées depuis. Masques et cadres peuvent ne plus tomber "
    "juste.",
    "declared_format": "{images} {images:image est|images sont} dans un autre format que ne le "
    "disent les métadonnées : converties depuis, peut-être avec perte.",
    "declared_label": "{images} {images:image porte|images portent} une autre étiquette que celle "
    "des métadonnées. L’une des deux est fausse : tranchez avant d’entraîner.",
    "named_label": "{images} {images:image a|images ont} un nom qui parle d’une autre étiquette : "
    "sans doute mises dans le mauvais dossier. Vérifiez-les.",
    "names": "{images} {images:image a|images ont} un nom que d’autres systèmes ne distinguent "
    "pas d’un autre : à la copie, l’une remplace l’autre. Renommez-les.",
    "missing_files": "{files} {files:fichier nommé|fichiers nommés} par les métadonnées "
    "{files:manque|manquent}. Le téléchargement est peut-être incomplet.",
    "surplus_files": "{files} {files:image n’est pas nommée|images ne sont pas nommées} par les "
    "métadonnées : on ne sait d’où elles viennent.",
    "exact_duplicates": "{images} images en {groups} {groups:groupe|groupes} ont exactement les "
    "mêmes pixels qu’une autre. Elles comptent deux fois à l’entraînement et dans chaque chiffre : "
    "gardez-en une de chaque.",
    "near_duplicates": "{images} images en {groups} {groups:groupe|groupes} montrent le même "
    "cliché qu’une autre, redimensionné, recompressé, bordé, éclairci ou en miroir. Gardez-en une "
    "de chaque, ou gardez-les ensemble dans la partition.",
    "duplicates_across_labels": "{pairs} {pairs:paire d’images montre la même chose et porte|"
    "paires d’images montrent la même chose et portent} des étiquettes différentes : l’une au "
    "moins de chaque paire est fausse. Tranchez ou écartez les deux.",
    "duplicates_across_splits": "{pairs} {pairs:paire d’images montre la même chose et se trouve|"
    "paires d’images montrent la même chose et se trouvent} dans des parties différentes : le "
    "modèle est examiné sur ce qu’il a appris par cœur. Refaites la partition en gardant les "
    "doublons ensemble.",
    "duplicates_across_sources": "{pairs} {pairs:paire d’images se trouve|paires d’images se "
    "trouvent} à la fois dans {first} et dans {second} ({images} images) : aucun des deux n’est un "
    "test externe de l’autre. Gardez les doublons dans une partie, ou écartez une copie.",
    "patient_leakage": "{patients} {patients:patient a|patients ont} des images dans plusieurs "
    "parties ({images} en tout) : le modèle est examiné sur des personnes qu’il a vues. Refaites "
    "la partition par patient.",
    "duplicate_leakage": "{groups} {groups:groupe de doublons se trouve|groupes de doublons se "
    "trouvent} dans plusieurs parties ({images} images) : des images de test ont donc été vues à "
    "l’entraînement. Refaites la partition en gardant les groupes ensemble.",
    "shortcuts.one": "Un seul indice, « {cue} », prédit l’étiquette avec une AUC de {auc:2} ; le "
    "hasard est à 0,50. Il ne montre pas l’anatomie, et un modèle peut l’apprendre à la place de "
    "la maladie.",
    "shortcuts.all": "La somme des indices d’acquisition prédit l’étiquette avec une AUC de "
    "{auc:2} ; le hasard est à 0,50. Elle ne montre pas l’anatomie, et un modèle peut l’apprendre "
    "à la place de la maladie.",
    "shortcuts.disease": "Une part peut venir de la maladie elle-même, qui le change aussi.",
    "shortcuts.tried": "AUC avec lesquelles l’étiquette est prédite (le hasard est à 0,50) :",
    "shortcuts.tried_one": "{cue} {auc:2}.",
    "label_source.predictable": "La provenance est presque parfaitement prévisible par l’étiquette "
    "(AUC {auc:2}, V de Cramér {tie:2}).",
    "label_source.tied": "La provenance est liée à l’étiquette (AUC {auc:2}, V de Cramér {tie:2}).",
    "label_source.shared": "« {label} » : {share:%} se trouvent aussi dans un autre jeu de "
    "données.",
    "label_source.borrowed": "Un modèle peut gagner en distinguant les provenances au lieu de la "
    "maladie : éprouvez chaque étiquette sur les images d’une provenance qui les a toutes.",
    "label_source.apart": "Les indices d’acquisition suffisent presque à distinguer les "
    "étiquettes.",
    "label_source.pair": "« {first} » et « {second} » : AUC {auc:2}.",
    "label_source.unstated": "L’étiquette est peut-être prévisible par la provenance, que les "
    "données ne disent pas : trouvez d’où viennent les images de chaque étiquette avant de croire "
    "un chiffre.",
    "sources.told": "Les indices d’acquisition disent de quel jeu vient une image avec une AUC de "
    "{auc:2} ; le hasard est à 0,50. Mieux une provenance se reconnaît, mieux une étiquette qui "
    "lui est liée se devine.",
    "sources.determine": "Étiquette et provenance se déterminent presque l’une l’autre (V de "
    "Cramér {tie:2}) : la provenance seule prédit l’étiquette avec une AUC de {auc:2} ; le hasard "
    "est à 0,50.",
    "sources.tied": "Étiquette et provenance sont liées (V de Cramér {tie:2}) : la provenance "
    "seule prédit l’étiquette avec une AUC de {auc:2} ; le hasard est à 0,50.",
    "sources.untied": "Étiquette et provenance ne sont guère liées (V de Cramér {tie:2}) : la "
    "provenance seule prédit l’étiquette avec une AUC de {auc:2} ; le hasard est à 0,50.",
    "sources.remedy": "Entraînez sur des étiquettes que chaque provenance a, ou éprouvez sur une "
    "provenance laissée de côté.",
    "markers": "{most_share:%} des images « {most} » mais {least_share:%} des images « {least} » "
    "portent des repères ou du texte dans les coins.",
    "markers.read": "Un modèle peut les lire : masquez-les ou recadrez.",
    "markers.alike": "C’est semblable.",
    "label_suspects": "{images} {images:image ressemble|images ressemblent} à celles d’une autre "
    "étiquette : au moins {share:%} de leurs plus proches voisines en portent une autre. Certaines "
    "sont des erreurs, d’autres sont difficiles : faites-les relire, la plus suspecte d’abord.",
}
