"""One tree of errors; each message names the value, what is allowed and the remedy.

```
PneumoscopeError                exit status 1, one line for the user
├── InputError                  what was given cannot be used
│   ├── RadiographError         one image cannot be read (the row is excluded, the run goes on)
│   ├── LayoutError             a folder does not say what its images are
│   ├── LabelError              labels or patients do not allow the task
│   ├── RecipeError             a recipe or one of its fields is wrong
│   ├── PredictionsError        a predictions table breaks its contract
│   └── BundleError             a bundle is incomplete, changed or of another schema
├── StorageError                a place cannot be written or is full
├── DownloadError               a data set or weight file could not be fetched
├── WeightsError                pretrained weights are missing or not what they should be
├── DependencyError             an optional extra is needed and not installed
├── TrainingError               training cannot go on (non-finite loss, ...)
└── ExportError                 the exported graph does not equal the trained network
```
"""

from __future__ import annotations


class PneumoscopeError(Exception):
    """Base of everything this package raises on purpose; `str(error)` is one line."""


class InputError(PneumoscopeError):
    """What was given cannot be used."""


class RadiographError(InputError):
    """One image cannot be read."""


class LayoutError(InputError):
    """A folder or file does not say what its images are."""


class LabelError(InputError):
    """Labels or patients do not allow the task."""


class RecipeError(InputError):
    """A recipe or one of its fields is wrong."""


class PredictionsError(InputError):
    """A predictions table breaks its contract."""


class BundleError(InputError):
    """A bundle is incomplete, changed, or of another schema."""


class StorageError(PneumoscopeError):
    """A place cannot be written or is full."""


class DownloadError(PneumoscopeError):
    """A data set or weight file could not be fetched."""


class WeightsError(PneumoscopeError):
    """Pretrained weights are missing or not what they should be."""


class DependencyError(PneumoscopeError):
    """An optional extra is needed and not installed."""


class TrainingError(PneumoscopeError):
    """Training cannot go on."""


class ExportError(PneumoscopeError):
    """The exported graph does not equal the trained network."""
