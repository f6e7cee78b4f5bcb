"""Pneumoscope: from a folder of radiographs to a classifier you can defend."""

from pneumoscope._version import __version__

__all__ = ["__version__"]
