"""The public Python API: what a command does, without the command line."""

from pneumoscope.workflows.auditing import AuditResult, audit
from pneumoscope.workflows.demonstration import demo
from pneumoscope.workflows.evaluation import evaluate
from pneumoscope.workflows.prediction import predict
from pneumoscope.workflows.recomputing import Recomputed, recompute
from pneumoscope.workflows.results import EvaluateResult, TrainResult
from pneumoscope.workflows.showing import show_augmentation
from pneumoscope.workflows.training import train

__all__ = [
    "AuditResult",
    "EvaluateResult",
    "Recomputed",
    "TrainResult",
    "audit",
    "demo",
    "evaluate",
    "predict",
    "recompute",
    "show_augmentation",
    "train",
]
