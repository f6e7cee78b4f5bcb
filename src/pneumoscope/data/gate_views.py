"""Views that the gate learns from: one picture as other machines, programs and people store it.

What is done on purpose is known: that a view is inverted, turned, or cut off is what the gate
learns to see. All else (contrast, frames, burnt-in text, coarse pixels, compression) is what it
learns to overlook, so pictures of every kind are treated alike.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.imaging.contrast import clahe
from pneumoscope.imaging.geometry import Box, resample

Picture: TypeAlias = NDArray[np.uint8]
"""`[height, width]`, grey levels 0-255."""

CUT_OFF, WHOLE = 0.25, 0.03
"""Share of the lungs outside the view: from the first it is cut off, up to the second it is not."""

_WORKED = 192
"""Longest side, pixels, that views are drawn at."""


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        picture: `[height, width]`, of any size.
        inverted: Whether it is a negative.
        turned: Quarter turns to the left, 0 to 3.
        cut_off: Whether part of the lungs is outside; None where that is not known.
    """

    picture: Picture
    inverted: bool
    turned: int
    cut_off: bool | None


def draw_view(
    picture: Picture, rng: np.random.Generator, *, lungs: NDArray[np.bool_] | None = None
) -> View:
    """One view of a picture.

    Args:
        picture: As stored.
        rng: Of everything random.
        lungs: Where lung is, of any resolution; some views then leave part of it out.
    """
    cut, outside = _cut(_small(picture), rng, lungs)
    seen = _exposed(_tilted(cut, rng), rng)
    seen = _written(seen, rng) if rng.random() < 0.3 else seen
    inverted, turned = bool(rng.random() < 0.2), int(rng.choice(4, p=(0.7, 0.1, 0.1, 0.1)))
    seen = np.rot90(255 - seen if inverted else seen, turned)
    if rng.random() < 0.1:
        seen = seen[:, ::-1]
        turned = (4 - turned) % 4
    seen = _framed(seen, rng) if rng.random() < 0.35 else seen
    known = None if outside is None or WHOLE < outside < CUT_OFF else outside >= CUT_OFF
    return View(_degraded(np.ascontiguousarray(seen), rng), inverted, turned, known)


def plain_view(picture: Picture) -> View:
    """The picture as it is, which shows a chest upright and whole if it shows one at all."""
    return View(picture, inverted=False, turned=0, cut_off=False)


def _resized(picture: Picture, height: int, width: int) -> Picture:
    whole = (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
    return np.asarray(resample(picture, whole, max(height, 1), max(width, 1)), np.uint8)


def _small(picture: Picture) -> Picture:
    height, width = picture.shape
    scale = _WORKED / max(height, width)
    return picture if scale >= 1 else _resized(picture, round(height * scale), round(width * scale))


def _cut(
    picture: Picture, rng: np.random.Generator, lungs: NDArray[np.bool_] | None
) -> tuple[Picture, float | None]:
    """A part of the picture, and the share of the lungs outside of it, where known."""
    height, width = picture.shape
    far = lungs is not None and rng.random() < 0.4
    box = _far_part(height, width, rng) if far else _near_part(height, width, rng)
    cut = picture[box.slices]
    if lungs is None:
        return cut, None
    place = _resized(lungs.astype(np.uint8) * 255, height, width) > 127
    total = int(place.sum())
    outside = 1 - int(place[box.slices].sum()) / total if total else None
    if far and rng.random() < 0.25:
        # The rest is there, but empty: a transfer that broke off, a shutter that fell.
        left = np.full_like(picture, rng.choice([0, 0, 128, 255]))
        left[box.slices] = cut
        cut = left
    return cut, outside


def _near_part(height: int, width: int, rng: np.random.Generator) -> Box:
    most = 0.12 if rng.random() < 0.5 else 0.02
    above, below, left, right = rng.uniform(0, most, 4)
    top, side = int(above * height), int(left * width)
    rows, columns = height - top - int(below * height), width - side - int(right * width)
    return Box(top, side, max(rows, 8), max(columns, 8))


def _far_part(height: int, width: int, rng: np.random.Generator) -> Box:
    """What is left when 20 to 55 % is missing at one side, or a quarter at several."""
    missing = np.zeros(4)
    missing[rng.integers(0, 4)] = rng.uniform(0.2, 0.55)
    if rng.random() < 0.3:
        missing = np.maximum(missing, rng.uniform(0, 0.25, 4))
    above, below, left, right = missing
    top, side = int(above * height), int(left * width)
    rows, columns = height - top - int(below * height), width - side - int(right * width)
    return Box(top, side, max(rows, height // 5), max(columns, width // 5))


def _tilted(picture: Picture, rng: np.random.Generator) -> Picture:
    """Turned by a few degrees, and squeezed one way or the other."""
    from PIL import Image

    angle = rng.normal(0, 5) if rng.random() < 0.9 else rng.uniform(-25, 25)
    fill = 0 if rng.random() < 0.8 else int(rng.integers(0, 256))
    image = Image.fromarray(picture).rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill)
    squeeze = np.exp(rng.normal(0, 0.18))
    height, width = picture.shape
    size = (max(8, round(width * min(squeeze, 1))), max(8, round(height / max(squeeze, 1))))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.uint8)


def _exposed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Other gamma, window, shading and local contrast."""
    levels = picture.astype(np.float32) / 255
    levels **= float(np.exp(rng.normal(0, 0.45)))
    if rng.random() < 0.4:
        height, width = picture.shape
        field = _resized(rng.integers(0, 256, (3, 3), dtype=np.uint8), height, width)
        levels *= np.exp((field.astype(np.float32) / 255 - 0.5) * rng.uniform(0, 1.2))
    contrast, middle = np.exp(rng.normal(0, 0.35)), float(levels.mean())
    levels = (levels - middle) * contrast + middle + rng.normal(0, 0.08)
    exposed = np.asarray(np.rint(np.clip(levels, 0, 1) * 255), np.uint8)
    if rng.random() < 0.15 and min(picture.shape) >= 64:
        exposed = clahe(exposed, clip_limit=float(rng.uniform(1, 6)))
    return exposed


def _written(picture: Picture, rng: np.random.Generator) -> Picture:
    """Burnt-in letters, lines and plates."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    height, width = picture.shape
    for _ in range(int(rng.integers(1, 5))):
        x, y = int(rng.integers(-8, width)), int(rng.integers(-4, height))
        level = 255 if rng.random() < 0.7 else int(rng.integers(0, 256))
        kind = rng.random()
        if kind < 0.6:
            letters = "".join(chr(int(code)) for code in rng.integers(65, 91, rng.integers(1, 12)))
            size = int(rng.integers(6, max(8, height // 7)))
            pen.text((x, y), letters, fill=level, font=ImageFont.load_default(size=size))
        elif kind < 0.8:
            wide, tall = (int(n) for n in rng.integers(2, max(4, height // 5), 2))
            pen.rectangle((x, y, x + wide, y + tall), fill=level)
        else:
            end = (int(rng.integers(0, width)), int(rng.integers(0, height)))
            pen.line((x, y, *end), fill=level, width=int(rng.integers(1, 4)))
    return np.asarray(image)


def _framed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Bars on two sides, or a page or screen around it."""
    height, width = picture.shape
    level = int(rng.choice([0, 0, 0, 255, 255, int(rng.integers(0, 256))]))
    around = rng.uniform(0, 0.3, 4)
    if rng.random() < 0.6:
        bars = rng.uniform(0, 0.55)
        around = np.array([bars, bars, 0, 0] if rng.random() < 0.5 else [0, 0, bars, bars])
    above, below, left, right = (int(part * max(height, width)) for part in around)
    framed = np.pad(picture, ((above, below), (left, right)), constant_values=level)
    return _written(framed, rng) if rng.random() < 0.2 else framed


def _degraded(picture: Picture, rng: np.random.Generator) -> Picture:
    """Coarse pixels, blur, noise, JPEG."""
    from PIL import Image, ImageFilter

    height, width = picture.shape
    if rng.random() < 0.25:
        part = rng.uniform(0.2, 0.7)
        coarse = _resized(picture, round(height * part), round(width * part))
        picture = _resized(coarse, height, width)
    image = Image.fromarray(picture)
    if rng.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 2.0))))
    if rng.random() < 0.2:
        noisy = np.asarray(image, np.float32)
        noisy = noisy + rng.standard_normal(noisy.shape, np.float32) * rng.uniform(2, 18)
        image = Image.fromarray(np.rint(np.clip(noisy, 0, 255)).astype(np.uint8))
    if rng.random() < 0.3:
        kept = io.BytesIO()
        image.save(kept, format="JPEG", quality=int(rng.integers(10, 85)))
        image = Image.open(kept)
    return np.asarray(image.convert("L"))
