"""Runs kept in MLflow. Nothing but workflows imports this room, and MLflow is only in here."""

from pneumoscope.tracking.runs import TrackedRun, tracked_run

__all__ = ["TrackedRun", "tracked_run"]
