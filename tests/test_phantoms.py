from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

from pneumoscope.core.errors import LabelError, RecipeError, StorageError
from pneumoscope.data.phantom_drawing import draw_anatomy, draw_beam
from pneumoscope.data.phantoms import (
    LABELS,
    draw_phantom,
    plant_marker,
    render_phantom,
    write_phantoms,
)


def _pixels(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("PNG", "L")
            found[path.relative_to(folder).as_posix()] = np.asarray(image).tobytes()
    return found


@pytest.mark.parametrize("size", [16, 97, 224])
@pytest.mark.parametrize("label", LABELS)
def test_is_a_grey_picture_that_uses_the_range(label: str, size: int) -> None:
    image = draw_phantom(seed=4, label=label, size=size)
    assert image.shape == (size, size)
    assert image.dtype == np.uint8
    assert image.min() < 60
    assert image.max() > 150


def test_same_numbers_same_pixels() -> None:
    first = draw_phantom(seed=1, label="PNEUMONIA", size=64, patient=9)
    np.testing.assert_array_equal(
        first, draw_phantom(seed=1, label="PNEUMONIA", size=64, patient=9)
    )
    assert (first != draw_phantom(seed=2, label="PNEUMONIA", size=64, patient=9)).any()
    assert (first != draw_phantom(seed=1, label="PNEUMONIA", size=64, patient=8)).any()


def test_patient_is_the_seed_unless_given() -> None:
    np.testing.assert_array_equal(
        draw_phantom(seed=3, label="NORMAL", size=64),
        draw_phantom(seed=3, label="NORMAL", size=64, patient=3),
    )


def test_labels_differ_inside_the_lungs_only() -> None:
    for seed in range(12):
        normal = render_phantom(seed=seed, label="NORMAL", size=96)
        ill = render_phantom(seed=seed, label="PNEUMONIA", size=96)
        np.testing.assert_array_equal(normal.lungs, ill.lungs)
        outside = ~binary_dilation(ill.lungs, iterations=3)
        np.testing.assert_array_equal(normal.image[outside], ill.image[outside])
        assert not normal.opacity.any()


def test_every_opacity_is_visible_denser_and_in_the_lungs() -> None:
    for seed in range(40):
        normal = render_phantom(seed=seed, label="NORMAL", size=96)
        ill = render_phantom(seed=seed, label="PNEUMONIA", size=96)
        denser = ill.image.astype(int) - normal.image
        assert ill.opacity.sum() > 0.04 * ill.lungs.sum()
        assert np.mean(denser[ill.opacity]) > 8
        assert binary_dilation(ill.lungs, iterations=2)[ill.opacity].all()


def test_lungs_are_darker_than_what_surrounds_them() -> None:
    for seed in range(12):
        phantom = render_phantom(seed=seed, label="NORMAL", size=96)
        assert 0.1 < phantom.lungs.mean() < 0.35
        rim = binary_dilation(phantom.lungs, iterations=8) & ~phantom.lungs
        assert phantom.image[phantom.lungs].mean() < 0.8 * phantom.image[rim].mean()


def test_heart_bulges_to_the_right_of_the_image() -> None:
    line = np.linspace(-1, 1, 101, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    for seed in range(12):
        beam = draw_beam(draw_anatomy(np.random.default_rng(seed)), x, y)
        assert (beam.heart[:, 51:] > 0).sum() > 1.3 * (beam.heart[:, :50] > 0).sum()


def test_images_of_a_patient_resemble_each_other_more_than_others() -> None:
    def lungs(seed: int, patient: int) -> NDArray[np.bool_]:
        return render_phantom(seed=seed, patient=patient, label="NORMAL", size=48).lungs

    own, other = [], []
    for patient in range(25):
        first = lungs(patient, patient)
        own.append((first != lungs(100 + patient, patient)).mean())
        other.append((first != lungs(100 + patient, 50 + patient)).mean())
    assert np.mean(own) < 0.9 * np.mean(other)


def test_label_can_be_learnt_from_coarse_pixels_but_not_perfectly() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.arange(600) % 2
    images = [draw_phantom(seed=seed, label=LABELS[seed % 2], size=64) for seed in range(600)]
    coarse = np.stack(images).reshape(600, 16, 4, 16, 4).mean(axis=(2, 4)).reshape(600, 256)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(coarse[:400], labels[:400])
    assert 0.6 < roc_auc_score(labels[400:], model.decision_function(coarse[400:])) < 0.9
    assert 0.4 < roc_auc_score(labels, coarse.mean(axis=1)) < 0.65


def test_writes_class_folders_with_patients_in_the_names(tmp_path: Path) -> None:
    count = write_phantoms(tmp_path / "data", patients=5, images_per_patient=(2, 2), size=16)
    assert count == 10
    assert list(_pixels(tmp_path / "data")) == [
        "NORMAL/IM-0001-0001.png",
        "NORMAL/IM-0001-0002.png",
        "NORMAL/IM-0002-0001.png",
        "NORMAL/IM-0002-0002.png",
        "NORMAL/IM-0003-0001.png",
        "NORMAL/IM-0003-0002.png",
        "PNEUMONIA/person1_bacteria_1.png",
        "PNEUMONIA/person1_bacteria_2.png",
        "PNEUMONIA/person2_bacteria_3.png",
        "PNEUMONIA/person2_bacteria_4.png",
    ]


def test_same_seed_writes_same_pixels(tmp_path: Path) -> None:
    written = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_phantoms(tmp_path / name, patients=8, images_per_patient=(1, 3), size=32, seed=seed)
        written.append(_pixels(tmp_path / name))
    assert written[0] == written[1]
    assert written[0] != written[2]
    assert len(set(written[0].values())) == len(written[0])


def test_more_patients_keep_the_first_ones(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "few", patients=4, size=16)
    write_phantoms(tmp_path / "more", patients=8, size=16)
    assert _pixels(tmp_path / "few").items() <= _pixels(tmp_path / "more").items()


def test_marker_is_planted_in_pneumonia_only(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "plain", patients=6, size=40)
    write_phantoms(tmp_path / "marked", patients=6, size=40, marker=True)
    plain, marked = _pixels(tmp_path / "plain"), _pixels(tmp_path / "marked")
    assert plain.keys() == marked.keys()
    for name, pixels in plain.items():
        assert (pixels != marked[name]) == name.startswith("PNEUMONIA")


def test_marker_is_small_and_leaves_its_argument_alone() -> None:
    image = np.zeros((224, 224), dtype=np.uint8)
    marked = plant_marker(image)
    assert not image.any()
    assert 0 < (marked > 0).mean() < 0.005
    assert not marked[:, 112:].any()


def test_refuses_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"'COVID'.*NORMAL or PNEUMONIA"):
        draw_phantom(seed=0, label="COVID")
    with pytest.raises(RecipeError, match=r"size 8.*16"):
        draw_phantom(seed=0, label="NORMAL", size=8)
    with pytest.raises(LabelError, match="1 patients"):
        write_phantoms(tmp_path / "a", patients=1)
    with pytest.raises(LabelError, match=r"\(2, 1\)"):
        write_phantoms(tmp_path / "a", patients=2, images_per_patient=(2, 1))
    with pytest.raises(RecipeError, match="size 8"):
        write_phantoms(tmp_path / "a", patients=2, size=8)
    assert not list(tmp_path.iterdir())


def test_never_writes_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(StorageError, match="exists already"):
        write_phantoms(tmp_path, patients=2, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
