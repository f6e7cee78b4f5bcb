"""What the verdict says, in French; in English its own sentences are shown.

By the keys of `evaluation.verdict.keys`. In a gap, a digit after the colon is that many decimals,
and `one|many` is the word that agrees with the number.
"""

FINDINGS = {
    "discrimination.auc": "L’AUC est de {auc}.",
    "discrimination.least": "L’AUC de {label}, l’étiquette la moins bien distinguée, est de {auc}.",
    "discrimination.excellent": "C’est excellent, même à la borne basse.",
    "discrimination.not_excellent": "La borne basse n’est pas excellente.",
    "discrimination.not_acceptable": "C’est insuffisant, même à la borne haute.",
    "discrimination.chance": "Le hasard ({chance:1}) n’est pas exclu.",
    "calibration.gap": "La confiance et l’exactitude diffèrent en moyenne de {error}.",
    "calibration.as_such": "Les probabilités peuvent être lues telles quelles.",
    "calibration.chance": "Ce n’est pas plus que par hasard ; plus de {bound} est exclu.",
    "calibration.open": "Une erreur de {bound} n’est pas exclue ; plus d’images le diraient.",
    "calibration.order_only": "Les probabilités ne donnent qu’un ordre.",
    "calibration.not_as_such": "Les probabilités ne doivent pas être lues telles quelles.",
    "calibration.not_alike": "Mais la perte logarithmique est passée de {before} à {after} avec la "
    "calibration : les parties ne se ressemblent pas.",
    "points.all_kept": "{rates:Le taux promis a été tenu|Tous les taux promis ont été tenus} "
    "({rates}).",
    "points.promise": "Pour {label}, le point « {point} » promettait une {rate} de {promised} et "
    "a donné {seen}.",
    "points.kept": "Une perte de plus de {margin:2} est exclue.",
    "points.open": "Une perte de {loss} n’est pas exclue ; plus d’images le diraient.",
    "points.less": "C’est sûrement moins, de {loss} ou davantage, niveau corrigé pour le nombre de "
    "comparaisons ({comparisons}).",
    "shift.distance": "Les scores diffèrent de ceux de la partie de calibration d’une distance de "
    "{distance} (p = {p}).",
    "shift.none": "Des images échangeables feraient de même, ce qui ne prouve pas qu’elles le "
    "sont.",
    "shift.small": "Seuils et ensembles d’étiquettes perdent leur garantie et peuvent tenir moins "
    "bien.",
    "shift.large": "Seuils et ensembles d’étiquettes perdent leur garantie : il ne faut pas "
    "compter dessus.",
    "shift.mix": "La répartition des étiquettes diffère : la part de l’une s’écarte de {distance} "
    "de celle de la partie de calibration (p = {p}), et au sein d’aucune étiquette on n’a trouvé "
    "de scores différents.",
    "shift.mix_conditional": "Si ce n’est que cela, ce qui est promis pour chaque "
    "étiquette, la sensibilité et ces ensembles, garde sa garantie.",
    "shift.mix_marginal": "Si ce n’est que cela, la sensibilité tient ; ces ensembles, promis "
    "seulement sur toutes les images, perdent leur garantie.",
    "shift.mix_lost": "La couverture sur toutes les images, le seuil d’abstention, la calibration "
    "et les valeurs prédictives ne se transposent pas.",
    "shift.mix_too": "La répartition des étiquettes diffère aussi.",
    "shift.within": "À étiquette égale ({labels}), les scores diffèrent de ceux de la partie de "
    "calibration d’une distance allant jusqu’à {distance} (p = {p}), ce qu’aucune autre "
    "répartition n’explique.",
    "shift.unlabelled": "Sans images de chaque étiquette dans les deux parties, on ne peut "
    "distinguer d’autres images d’une autre répartition.",
    "shift.unexplained": "On n’a trouvé de différence ni à étiquette égale ni dans la seule "
    "répartition : on ne peut distinguer d’autres images d’une autre répartition.",
    "shift.small_perhaps": "Seuils et ensembles d’étiquettes ont pu perdre leur garantie et "
    "peuvent tenir moins bien.",
    "shift.large_perhaps": "Seuils et ensembles d’étiquettes ont pu perdre leur garantie : il ne "
    "faut pas compter dessus.",
    "size.counted": "L’étiquette la plus rare, {label}, a {images} {images:image|images} de "
    "{patients} {patients:patient|patients}.",
    "size.counted_most": "L’étiquette la plus rare, {label}, a {images} {images:image|images} d’au "
    "plus {patients} {patients:patient|patients}.",
    "size.counted_images": "L’étiquette la plus rare, {label}, a {images} {images:image|images}.",
    "size.unknown": "Les patients de {unknown} images sur {images} ne sont pas connus ; plusieurs "
    "images d’un même patient rendraient les intervalles trop étroits.",
    "size.interval": "L’intervalle de l’AUC est large de {width}.",
    "size.no_interval": "L’AUC n’a pas d’intervalle.",
    "size.green": "C’est assez pour une validation.",
    "size.amber": "C’est assez pour une première impression.",
    "size.red": "C’est trop peu pour dire quoi que ce soit.",
    "sets.all": "Les ensembles contiennent la vraie étiquette de toutes les images avec une "
    "fréquence de {covered}.",
    "sets.label": "Les ensembles contiennent la vraie étiquette des images {label} avec une "
    "fréquence de {covered}.",
    "sets.kept": "{level:2} était promis.",
    "sets.little": "Mais seuls {single} des ensembles ne retiennent qu’une étiquette (limite "
    "{limit:1}) : la promesse est tenue en disant peu.",
    "sets.below": "C’est sûrement moins que les {level:2} promis.",
    "sets.below_unpromised": "Rien n’est promis par étiquette, mais c’est moins que {level:2}.",
    "sets.broken": "La promesse de {level:2} est rompue.",
    "groups.gap": "Parmi les images {label}, {rate} sont manquées quand {column} vaut {group}, et "
    "{other_rate} quand elle vaut {other}.",
    "groups.sure": "Un écart de {gap} ou plus est sûr, niveau corrigé pour le nombre de "
    "comparaisons ({comparisons}).",
    "groups.worse": "Un groupe est sûrement moins bien servi, niveau corrigé pour le nombre de "
    "comparaisons ({comparisons}).",
    "groups.open": "Les groupes sont trop petits pour exclure un écart de {gap}.",
    "groups.chance": "C’est le plus grand écart trouvé : il peut être dû au hasard, vu le nombre "
    "de comparaisons ({comparisons}).",
    "shortcuts.lungs_removed": "Poumons retirés, le réseau atteint une AUC de {auc}, le hasard "
    "étant à {chance:1}.",
    "shortcuts.metadata_only": "Avec la taille, le format et d’autres métadonnées, sans image, un "
    "petit modèle atteint une AUC de {auc}, le hasard étant à {chance:1}.",
    "shortcuts.border_only": "Avec le seul bord de l’image, un petit modèle atteint une AUC de "
    "{auc}, le hasard étant à {chance:1}.",
    "shortcuts.of_label": "Il s’agit de {label}, qui ressort le plus parmi {labels} étiquettes ; "
    "les intervalles valent pour toutes à la fois.",
    "shortcuts.whole": "L’image entière donne {auc}.",
    "shortcuts.blind_green": "Ce n’est pas sûrement plus que ce qu’expliquent contours et bruit.",
    "shortcuts.blind_amber": "C’est sûrement mieux que le hasard : autre chose que les poumons "
    "trahit l’étiquette.",
    "shortcuts.blind_red": "C’est bien mieux que le hasard : une grande part du résultat "
    "s’obtient sans les poumons.",
    "shortcuts.lungs_swapped": "Quand poumons et entourage d’une image portent des étiquettes "
    "différentes, l’AUC pour l’étiquette des poumons est de {lungs}, pour celle de l’entourage de "
    "{around}.",
    "shortcuts.control": "Les poumons d’une autre image de même étiquette coûtent {cost} : c’est "
    "la part du découpage.",
    "shortcuts.swapped_green": "La réponse suit les poumons.",
    "shortcuts.swapped_amber": "Aucun des deux ne décide sûrement seul.",
    "shortcuts.swapped_red": "La réponse suit ce qui n’est pas poumon.",
    "shortcuts.lungs_only": "Avec les poumons seuls, l’AUC est de {auc}, une perte de {drop}.",
    "shortcuts.lungs_only_green": "Les poumons suffisent presque.",
    "shortcuts.lungs_only_amber": "L’entourage a donc servi.",
    "shortcuts.agreeing": "Ce n’est pas isolé : voir aussi {tests}.",
    "shortcuts.confounding": "La raison probable est une confusion avec la provenance : "
    "provenances et étiquettes sont liées (V de Cramér {tie}).",
    "shortcuts.source_names": "Les autres patients de la provenance donnent à eux seuls "
    "l’étiquette avec une exactitude de {accuracy}, contre {share} pour l’étiquette la plus "
    "fréquente.",
    "shortcuts.unrecorded": "La raison habituelle est une confusion avec la provenance : les "
    "étiquettes diffèrent par ce qui n’est pas anatomie, comme quand chacune vient d’un autre "
    "lieu. La provenance des images n’est pas notée, cela ne peut donc être exclu.",
    "shortcuts.one_source": "Les images viennent d’une seule provenance ({source}) : une confusion "
    "avec la provenance ne peut être mesurée.",
    "sources.oracle": "Les autres patients de la provenance donnent la bonne étiquette avec une "
    "fréquence de {accuracy}, {excess} de plus que l’étiquette la plus fréquente (V de Cramér "
    "{tie}).",
    "sources.oracle_green": "Les provenances disent peu des étiquettes.",
    "sources.oracle_amber": "Une part du résultat peut tenir à la provenance.",
    "sources.oracle_red": "Étiquette et provenance ne se distinguent pas, ni ce que le réseau a "
    "appris de l’une ou de l’autre.",
    "sources.left_out": "Appris sur toutes les autres provenances, les plongements donnent "
    "l’étiquette à {source} avec une AUC de {outside}, et appris à {source} même, de {inside}.",
    "sources.left_out_green": "Aucune perte n’est sûre.",
    "sources.left_out_amber": "Une part de ce qui est appris ailleurs n’y vaut pas.",
    "sources.left_out_red": "Ce qui est appris ailleurs n’y vaut pas.",
    "sources.told": "Les plongements reconnaissent la provenance avec une AUC de {auc}.",
    "sources.told_plainly": "C’est une porte ouverte aux raccourcis là où provenances et "
    "étiquettes sont liées.",
    "sources.not_plainly": "Ce n’est pas net.",
    "robustness.none": "Aucune des {corruptions} altérations ne coûte sûrement beaucoup ; voici la "
    "pire.",
    "robustness.corruption": "Altération « {corruption} », sévérité {severity} : l’AUC baisse de "
    "{drop}.",
    "saliency.random": "Les cartes de poids tirés au hasard ressemblent à celles du réseau "
    "entraîné ({similarity}) : elles montrent l’image, et peu de ce qui a été appris.",
    "saliency.pointing": "Pour {label}, {energy} de la carte se trouve dans les poumons, qui "
    "couvrent {area} de l’image.",
    "saliency.pointing_green": "C’est plus que le hasard n’en mettrait, ce qui n’exclut aucun "
    "raccourci.",
    "saliency.pointing_amber": "C’est ce que le hasard y mettrait.",
    "saliency.pointing_red": "C’est moins que le hasard n’en mettrait : le réseau regarde "
    "ailleurs.",
    "unmeasured.discrimination": "Non jugé : l’AUC n’est pas définie avec des images d’une seule "
    "étiquette. Évaluez sur des images de chaque étiquette.",
    "unmeasured.calibration": "Non jugé : l’erreur de calibration n’est pas définie. Évaluez sur "
    "plus d’images.",
    "unmeasured.points": "Non jugé : le modèle n’a pas de point de fonctionnement que ces images "
    "pourraient éprouver. Entraînez de nouveau avec une partie de calibration ; elle sert à les "
    "choisir.",
    "unmeasured.shift": "Non jugé : les prédictions de la partie de calibration manquent. Évaluez "
    "avec le modèle d’un entraînement qui les a gardées.",
    "unmeasured.size": "Non jugé : les images par étiquette ne sont pas notées. Évaluez de "
    "nouveau.",
    "unmeasured.sets": "Non jugé : le modèle ne fait pas d’ensembles d’étiquettes. Entraînez de "
    "nouveau avec eux et une partie de calibration ; elle sert à les ajuster.",
    "unmeasured.groups": "Non jugé : il n’y a pas deux groupes de {images} images de {patients} "
    "patients d’une étiquette. Notez provenance, incidence, sexe ou âge au catalogue, et évaluez "
    "sur plus de patients.",
    "unmeasured.shortcuts": "Non jugé : aucune épreuve de raccourci n’a été faite. Donnez des "
    "masques des poumons ou laissez le programme les dessiner, et évaluez avec l’audit.",
    "unmeasured.shortcuts_partly": "Non jugé : rien trouvé ({tests}), mais il reste à éprouver : "
    "{missing}. Donnez des masques des poumons ou laissez le programme les dessiner, et évaluez "
    "avec l’audit.",
    "unmeasured.sources": "Non jugé : aucune image n’a de provenance notée, ou elle n’a pas été "
    "examinée. Notez une provenance par image, et réunissez chaque étiquette de plusieurs.",
    "unmeasured.one_source": "Non jugé : toutes les images viennent d’une seule provenance "
    "({source}). Ni la confusion avec la provenance ni le passage à une autre ne peuvent être "
    "mesurés. Réunissez chaque étiquette de plusieurs provenances.",
    "unmeasured.one_source_partly": "Non jugé : {images} des {total} images viennent d’une seule "
    "provenance ({source}), celle des autres n’est pas notée. Ni la confusion avec la provenance "
    "ni le passage à une autre ne peuvent être mesurés. Notez une provenance par image, et "
    "réunissez chaque étiquette de plusieurs.",
    "unmeasured.small_sources": "Non jugé : parmi les {sources} provenances, il n’y en a pas deux "
    "d’assez de patients. Réunissez chaque étiquette de plusieurs provenances.",
    "unmeasured.robustness": "Non jugé : aucune image altérée n’a reçu de réponse. Évaluez avec "
    "l’audit.",
    "unmeasured.saliency": "Non jugé : aucune carte de saillance n’a été notée. Donnez des masques "
    "des poumons ou laissez le programme les dessiner, et évaluez avec l’audit.",
    "limit.none": "aucune",
    "limit.discrimination": "borne basse, bon à partir de {green:2} ; borne haute, insuffisant "
    "sous {red:2}",
    "limit.calibration": "borne haute, bon jusqu’à {green:2}, ou {red:2} si la borne basse est 0 ; "
    "borne basse, insuffisant au-delà de {red:2}",
    "limit.points": "bon si une perte de plus de {green:2} est exclue ; insuffisant si une perte "
    "de plus de {red:2} est sûre, corrigée pour {comparisons} "
    "{comparisons:comparaison|comparaisons}",
    "limit.shift": "bon à partir de p = {green:2} ; insuffisant sous {red:2} avec une distance de "
    "{distance:2} ou plus, sauf si seule la répartition des étiquettes diffère",
    "limit.size": "bon à partir de {green} patients et jusqu’à un intervalle de l’AUC large de "
    "{width:2} ; insuffisant sous {red} patients",
    "limit.size_unknown": "bon à partir de {green} patients et jusqu’à un intervalle de l’AUC "
    "large de {width:2} ; insuffisant sous {red} patients ; avec réserves quand les patients de "
    "plus de {unknown:2} des images ne sont pas connus",
    "limit.sets": "borne haute, corrigée pour {comparisons} "
    "{comparisons:comparaison|comparaisons}, bon à partir de {green:2}, insuffisant sous {red:2}",
    "limit.groups": "borne basse, corrigée pour {comparisons} "
    "{comparisons:comparaison|comparaisons}, bon jusqu’à 0, insuffisant au-delà de {red:2} ; borne "
    "haute, bon jusqu’à {open:2}",
    "limit.blind": "borne basse, bon jusqu’à {green:2}, insuffisant au-delà de {red:2}",
    "limit.swapped": "bon si les poumons décident sûrement, insuffisant si c’est l’entourage",
    "limit.lungs_only": "borne basse de la perte, bon jusqu’à {green:2}",
    "limit.oracle": "borne basse, bon jusqu’à {green:2} avec un V de Cramér sous {tie:2}, "
    "insuffisant au-delà de {red:2}",
    "limit.left_out": "borne basse de la perte, bon jusqu’à 0, insuffisant au-delà de {red:2}",
    "limit.told": "borne basse, bon jusqu’à {green:2}, ou avec un V de Cramér sous {tie:2}",
    "limit.robustness": "borne basse, bon jusqu’à {green:2}, insuffisant au-delà de {red:2} ; "
    "passé la sévérité {severity}, avec réserves au-delà de {red:2}",
    "limit.random": "borne haute, bon jusqu’à {green:2}",
    "limit.saliency": "bon si c’est sûrement plus que la surface, insuffisant si c’est moins",
}
