"""The public Python API: what a command does, without the command line."""

from pneumoscope.workflows.auditing import AuditResult, audit
from pneumoscope.workflows.benchmark.run import BenchmarkResult, benchmark
from pneumoscope.workflows.bundles import bundle_at
from pneumoscope.workflows.comparing import CompareResult, compare_runs
from pneumoscope.workflows.demonstration import demo
from pneumoscope.workflows.evaluation import evaluate
from pneumoscope.workflows.prediction import predict
from pneumoscope.workflows.promoting import PromoteResult, promote
from pneumoscope.workflows.recomputing import Recomputed, recompute
from pneumoscope.workflows.results import EvaluateResult, TrainResult
from pneumoscope.workflows.segmenting import SegmentResult, segment
from pneumoscope.workflows.showing import show_augmentation
from pneumoscope.workflows.syncing import Synced, sync
from pneumoscope.workflows.training import train
from pneumoscope.workflows.tuning.run import TuneResult, tune

__all__ = [
    "AuditResult",
    "BenchmarkResult",
    "CompareResult",
    "EvaluateResult",
    "PromoteResult",
    "Recomputed",
    "SegmentResult",
    "Synced",
    "TrainResult",
    "TuneResult",
    "audit",
    "benchmark",
    "bundle_at",
    "compare_runs",
    "demo",
    "evaluate",
    "predict",
    "promote",
    "recompute",
    "segment",
    "show_augmentation",
    "sync",
    "train",
    "tune",
]
