"""What a bundle remembers comes back as it was, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

from pneumoscope.bundle.reference import Reference, read_reference, reference_bytes
from pneumoscope.core.errors import BundleError
from pneumoscope.evaluation.calibrator import temperature_calibrator
from pneumoscope.evaluation.predictions import read_table


def example(images: int = 6) -> Reference:
    random = np.random.default_rng(0)
    return Reference(
        random.normal(size=(images, 3)).astype(np.float32),
        random.integers(0, 3, images),
        np.arange(images, dtype=np.int64) // 2,
        {"signatures": random.normal(size=(4, 7)).astype(np.float16)},
    )


def test_a_reference_comes_back_as_it_was() -> None:
    kept = example()
    found = read_reference(reference_bytes(kept), labels=3)
    np.testing.assert_array_equal(found.calibration_logits, kept.calibration_logits)
    np.testing.assert_array_equal(found.calibration_truth, kept.calibration_truth)
    np.testing.assert_array_equal(found.calibration_patients, kept.calibration_patients)
    np.testing.assert_array_equal(found.training["signatures"], kept.training["signatures"])


def test_the_calibration_split_comes_back_as_predictions() -> None:
    kept = example()
    table = kept.calibration_table(("a", "b", "c"), temperature_calibrator(2.0))
    assert table is not None
    found = read_table(table)
    assert found.n_patients == 3
    np.testing.assert_allclose(found.logits, kept.calibration_logits)
    np.testing.assert_array_equal(found.truth, kept.calibration_truth)
    assert Reference().calibration_table(("a", "b"), temperature_calibrator(1.0)) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibration_logits": np.zeros((6, 2), np.float32)}, "shapes"),
        ({"calibration_logits": np.zeros((6, 3), np.float64)}, "not float32"),
        ({"calibration_logits": np.full((6, 3), np.nan, np.float32)}, "not finite"),
        ({"calibration_truth": np.full(6, 3, np.int64)}, "outside the label set"),
        ({"calibration_truth": np.full(6, -1, np.int64)}, "outside the label set"),
        ({"calibration_patients": np.zeros(5, np.int64)}, "shapes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, np.ndarray], said: str) -> None:
    kept = example()
    arrays: dict[str, np.ndarray] = {
        "calibration_logits": kept.calibration_logits,
        "calibration_truth": kept.calibration_truth,
        "calibration_patients": kept.calibration_patients,
    }
    with pytest.raises(BundleError, match=said):
        read_reference(save(arrays | change), labels=3)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"x" * 64, save({})])
def test_what_is_no_reference_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="Export the bundle again"):
        read_reference(content, labels=3)
