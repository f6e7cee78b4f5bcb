"""Runs kept in MLflow. Nothing but workflows imports this room, and MLflow is only in here."""

from pneumoscope.tracking.naming import NOTE_TAG, epoch_metrics
from pneumoscope.tracking.offline import Synced, sync
from pneumoscope.tracking.record import DataInput, Identity, Parent, Point, Record, load_record
from pneumoscope.tracking.runs import TrackedRun, tracked_run

__all__ = [
    "NOTE_TAG",
    "DataInput",
    "Identity",
    "Parent",
    "Point",
    "Record",
    "Synced",
    "TrackedRun",
    "epoch_metrics",
    "load_record",
    "sync",
    "tracked_run",
]
