"""Where the verdict draws its lines, each with its reason and, where there is one, its source.

No limit is a law: another question may need others. They are fixed here, before any result is
seen, so that nobody moves them afterwards. All are compared with the ends of intervals.
"""

from __future__ import annotations

from typing import Final

CHANCE: Final = 0.5
"""AUC of a coin."""

AUC_EXCELLENT: Final = 0.80
"""From here discrimination counts as excellent (Hosmer, Lemeshow and Sturdivant 2013, ch. 5)."""

AUC_ACCEPTABLE: Final = 0.70
"""Below here it does not count as acceptable (the same)."""

ECE_SMALL: Final = 0.05
"""Five points between confidence and accuracy: less than a reader would act upon. A convention;
the literature asks for calibration without naming a number (Van Calster et al. 2019; Guo et al.
2017 bring networks below it with a temperature)."""

ECE_LARGE: Final = 0.10
"""One answer in ten that is not what its probability says. Where no error at all is sure, only one
as large as this must be excluded: a few hundred images cannot exclude `ECE_SMALL`."""

PROMISE_MARGIN: Final = 0.10
"""A rate is kept when a loss of more than this is excluded, as in a non-inferiority trial. The
margin is a convention: with 100 images of a label it can just be met."""

PROMISE_BROKEN: Final = 0.05
"""A rate that is surely lower than promised by more than this is another operating point."""

COVERAGE_SLACK: Final = 0.05
"""Label sets surely short of their level by more than this break the guarantee; a shortfall below
it can come from one calibration split (Angelopoulos and Bates 2023, section 3.2)."""

SINGLE_SHARE: Final = 0.50
"""Label sets that single out one label for fewer than half of the images say little."""

GROUP_GAP: Final = 0.10
"""A true label missed ten points more often in one group than in another: a convention for what
Seyyed-Kalantari et al. 2021 describe as underdiagnosis bias."""

GROUP_UNKNOWN: Final = 0.20
"""Groups so small that a gap of this size is not excluded were not compared."""

GROUP_IMAGES: Final = 20
"""Fewest images of a label, in a group, to compare it."""

GROUP_PATIENTS: Final = 10
"""Fewest patients likewise."""

BLIND_AUC: Final = 0.60
"""What sees no lungs should be near chance. Outlines and noise explain a little; above this it is
a shortcut (DeGrave, Janizek and Lee 2021; Maguolo and Nanni 2021, who remove the lungs)."""

BLIND_AUC_FAR: Final = 0.75
"""Half way from chance to perfect without a lung: the result can be had without the disease
(Roberts et al. 2021 count such data among the reasons that no model was of clinical use)."""

LUNGS_ONLY_DROP: Final = 0.10
"""More than this lost when all but the lungs is taken away: it was used, and not for disease of
the lungs alone. The blackened surroundings are new to the network too, so this alone is amber."""

ORACLE_EXCESS: Final = 0.05
"""Accuracy that the source alone adds to always naming the most frequent label, each patient told
from the source's others."""

ORACLE_EXCESS_FAR: Final = 0.20
"""From here the source explains much of the label: the confounding that Zech et al. 2018 and
DeGrave et al. 2021 found behind results that did not carry to other hospitals."""

SOURCE_TIE: Final = 0.30
"""Cramer's V of label and source; 0.3 is a medium and 0.5 a large effect (Cohen 1988, ch. 7)."""

SOURCE_TOLD: Final = 0.90
"""AUC from which embeddings hold the source about as plainly as the label; harmless where sources
and labels are not tied, and the way in for a shortcut where they are (Zech et al. 2018)."""

SOURCE_LOSS: Final = 0.10
"""AUC lost on a source that was left out of training: it does not carry (Zech et al. 2018)."""

CORRUPTION_DROP: Final = 0.05
"""AUC lost to a corruption: noticeable."""

CORRUPTION_DROP_FAR: Final = 0.10
"""AUC lost to a corruption as mild as daily practice brings it (kinds and severities are in the
manner of Hendrycks and Dietterich 2019)."""

DAILY_SEVERITY: Final = 1
"""The mildest severity is what daily practice brings; those above are stress tests."""

UNDONE_CORRUPTIONS: Final = ("inversion",)
"""Shown, not judged: a header says whether grey levels are inverted, and reading undoes it."""

SAME_MAP: Final = 0.50
"""Rank correlation of saliency maps before and after the weights are made random. Above it, maps
show the image rather than what was learned (Adebayo et al. 2018)."""

SHIFT_P: Final = 0.05
"""Error level of the shift test, which keeps it exactly (Phipson and Smyth 2010)."""

SHIFT_P_STRONG: Final = 0.01
"""Strong evidence of a shift; red only where the shift is also large."""

SHIFT_DISTANCE: Final = 0.20
"""Kolmogorov-Smirnov distance of scores from which a shift is large: a fifth of the images lie
elsewhere. With many images, smaller ones are significant and matter little."""

LABEL_IMAGES: Final = 100
"""Patients of a label from which validation says enough: 100 with and 100 without (Vergouwe et al.
2005; Collins, Ogundimu and Altman 2016)."""

LABEL_IMAGES_FEWEST: Final = 30
"""Below here one more error moves a rate by three points and more."""

UNKNOWN_PATIENTS: Final = 0.10
"""Share of images of unknown patients from which the sample size is not called good: each of them
counts as a patient, and several of one patient would make intervals too narrow. A convention."""

AUC_WIDTH: Final = 0.10
"""Width of the interval of the AUC up to which models of practical difference can be told apart
(Riley et al. 2021 ask for 0.1 when they plan a validation)."""
