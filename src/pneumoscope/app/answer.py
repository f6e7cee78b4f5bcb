"""A prediction in words: what was decided, what the gate found, what else is to be known."""

from __future__ import annotations

from typing import NamedTuple

from pneumoscope.app.language import Language, decimal, percent, probability, spoken
from pneumoscope.app.reasons import because, reason_in
from pneumoscope.app.words import common
from pneumoscope.app.words import trying as words
from pneumoscope.bundle.prediction import GateStage, Prediction
from pneumoscope.evaluation.verdict.parts import Colour

COLOURS = {
    "answer": "accent", "set": "accent", "abstain": "amber", "refused": "red", "unreadable": "red",
}  # fmt: skip
"""Of a decision."""
OUTCOME_COLOURS = {"passed": "green", "warned": "amber", "refused": "red"}
"""Of a stage's outcome."""


class Stage(NamedTuple):
    """A stage of the gate, in words."""

    name: str
    outcome: str
    text: str


class Told(NamedTuple):
    """A prediction in words.

    Attributes:
        title: What was decided.
        text: How sure, or why not.
        stages: Of the gate.
        warnings: To be shown with the answer.
    """

    title: str
    text: str
    stages: tuple[Stage, ...]
    warnings: tuple[str, ...]


def told(prediction: Prediction, language: Language, *, level: float | None = None) -> Told:
    """A prediction in a language.

    Args:
        prediction: To be told.
        language: To tell it in.
        level: Confidence level of its label sets, in (0, 1); None where there are none.
    """
    title = spoken(
        words.DECISIONS[prediction.decision],
        language,
        label=prediction.label,
        labels=", ".join(prediction.label_set or ()),
    )
    stages = prediction.gate.stages if prediction.gate else {}
    return Told(
        title,
        _text(prediction, language, level),
        tuple(_stage(name, stage, language) for name, stage in stages.items()),
        tuple(reason_in(one, language) or one for one in prediction.warnings),
    )


def worth(colour: Colour, language: Language) -> str:
    """The verdict on the model that answers, as a sentence to stand beside its answer.

    >>> worth("red", "en")
    'Verdict on this model: Red. The figures do not stand as they are.'
    """
    name, sentence = common.COLOUR_NAMES[colour], common.OVERALL[colour]
    on = spoken(common.VERDICT_ON, language)
    return spoken(
        common.VERDICT_SAYS,
        language,
        on=on,
        name=spoken(name, language),
        sentence=spoken(sentence, language),
    )


def _text(prediction: Prediction, language: Language, level: float | None) -> str:
    if prediction.decision == "answer" and prediction.label is not None:
        sure = probability(prediction.probabilities[prediction.label], language)
        if level is None or prediction.label_set is None:
            return spoken(words.PROBABILITY_ONLY, language, probability=sure)
        at = percent(level, language)
        return spoken(words.SURE, language, probability=sure, level=at)
    if not prediction.reason:
        return ""
    return because(prediction.reason, language)


def _stage(name: str, stage: GateStage, language: Language) -> Stage:
    if stage.reason:
        text = reason_in(stage.reason, language) or stage.reason
    else:
        share = name == "familiarity"
        score = percent(stage.score, language) if share else decimal(stage.score, language)
        text = spoken(words.PASSED[name], language, score=score)
    outcome = spoken(words.OUTCOMES[stage.outcome], language)
    return Stage(spoken(words.STAGES[name], language), outcome, text[:1].upper() + text[1:])
