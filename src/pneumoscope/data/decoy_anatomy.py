"""Decoys of other anatomy: hands, limbs, skulls, slices, breasts, abdomens, and other modalities.

Drawn as capsules and ellipses whose thickness adds up along a beam, as `phantom_drawing` does for
the chest, only more simply. Coordinates are fractions of half the picture, in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
"""`[side, side]`, grey levels 0-255."""

_Field: TypeAlias = NDArray[np.float64]


def _grid(side: int, rng: np.random.Generator) -> tuple[_Field, _Field]:
    """Coordinates x and y of every pixel, turned, shifted and scaled a little."""
    line = (np.arange(side) + 0.5) * (2 / side) - 1
    x, y = np.meshgrid(line, line)
    angle, scale = rng.normal(0, 0.25), np.exp(rng.normal(0, 0.12))
    x, y = x - rng.normal(0, 0.08), y - rng.normal(0, 0.08)
    turned = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return turned[0] * scale, turned[1] * scale


def _thick(depth: _Field) -> _Field:
    """Length of the beam in a round body, from its squared depth: 1 on the axis, 0 outside."""
    return np.sqrt(np.clip(depth, 0, None))


def _ellipse(x: _Field, y: _Field, place: tuple[float, float, float, float]) -> _Field:
    """Thickness of an ellipsoid: centre and half axes."""
    across, down, wide, tall = place
    return _thick(1 - ((x - across) / wide) ** 2 - ((y - down) / tall) ** 2)


def _capsule(
    x: _Field, y: _Field, ends: tuple[float, float, float, float], radius: float
) -> _Field:
    """Thickness of a rod with round ends, from (x, y) to (x, y)."""
    left, top, right, bottom = ends
    across, down = right - left, bottom - top
    length = max(across * across + down * down, 1e-9)
    along = np.clip(((x - left) * across + (y - top) * down) / length, 0, 1)
    squared = (x - left - along * across) ** 2 + (y - top - along * down) ** 2
    return _thick(1 - squared / radius**2)


def _bone(x: _Field, y: _Field, ends: tuple[float, float, float, float], radius: float) -> _Field:
    """A long bone: dense wall, less dense marrow, heads at its ends."""
    shaft = _capsule(x, y, ends, radius) - 0.55 * _capsule(x, y, ends, 0.6 * radius)
    heads = _ellipse(x, y, (*ends[:2], 1.5 * radius, 1.3 * radius))
    heads = np.maximum(heads, _ellipse(x, y, (*ends[2:], 1.5 * radius, 1.3 * radius)))
    return np.asarray(np.maximum(shaft, 0.8 * heads))


def _film(attenuation: _Field, rng: np.random.Generator) -> Picture:
    """Grey levels of an exposed film, with grain, a drawn window and perhaps a marker."""
    grain = rng.standard_normal(attenuation.shape) * rng.uniform(0.005, 0.03)
    top = float(attenuation.max()) or 1.0
    film = np.clip(attenuation / top + grain, 0, 1) ** np.exp(rng.normal(0, 0.25))
    film = film * rng.uniform(0.7, 1.0) + rng.uniform(0, 0.1)
    picture: Picture = np.asarray(np.rint(np.clip(film, 0, 1) * 255), np.uint8)
    if rng.random() < 0.4:
        side = len(picture)
        row, column = rng.integers(2, side - side // 8, 2)
        picture[row : row + side // 14, column : column + side // 20] = 255
    return picture


def hand(side: int, rng: np.random.Generator) -> Picture:
    """A hand: five rays of bones in soft tissue, and a wrist."""
    x, y = _grid(side, rng)
    soft = 0.8 * _ellipse(x, y, (0.0, 0.35, 0.42, 0.42)) + _capsule(x, y, (0, 0.5, 0, 1.4), 0.26)
    bones = _bone(x, y, (-0.12, 0.85, -0.12, 1.5), 0.08) + _bone(x, y, (0.1, 0.85, 0.1, 1.5), 0.06)
    for _ in range(7):
        place = (rng.uniform(-0.22, 0.22), rng.uniform(0.62, 0.8), 0.08, 0.07)
        bones += 0.7 * _ellipse(x, y, place)
    for finger, angle in enumerate(np.linspace(-0.9, 0.5, 5) + rng.normal(0, 0.06, 5)):
        at = np.array([0.3 * np.sin(angle), 0.55 - 0.1 * np.cos(angle)])
        lengths = np.array([0.42, 0.3, 0.2, 0.14]) * (0.75 if finger == 0 else 1.0)
        for part, length in enumerate(lengths):
            to = at + length * np.array([np.sin(angle), -np.cos(angle)])
            ends = (float(at[0]), float(at[1]), float(to[0]), float(to[1]))
            bones += _bone(x, y, ends, 0.05 - 0.006 * part)
            soft = np.maximum(soft, 0.6 * _capsule(x, y, ends, 0.11))
            at = to + 0.02 * np.array([np.sin(angle), -np.cos(angle)])
    return _film(0.35 * soft + 0.7 * bones, rng)


def limb(side: int, rng: np.random.Generator) -> Picture:
    """An arm or a leg: one or two long bones, perhaps a joint."""
    x, y = _grid(side, rng)
    wide = rng.uniform(0.35, 0.8)
    soft = _capsule(x, y, (0, -2, 0, 2), wide)
    bend = rng.uniform(-0.3, 0.3)
    radius = rng.uniform(0.1, 0.2) * wide * 1.6
    if rng.random() < 0.5:
        bones = _bone(x, y, (-0.5 * wide, -1.2, -0.4 * wide, 1.2), radius)
        bones += _bone(x, y, (0.4 * wide, -1.2, 0.3 * wide, 1.2), 0.7 * radius)
    else:
        joint = rng.uniform(-0.4, 0.4)
        bones = _bone(x, y, (-bend, -1.6, 0.0, joint - 0.08), radius)
        bones += _bone(x, y, (0.0, joint + 0.08, bend, 1.6), 0.9 * radius)
        bones += 0.5 * _ellipse(x, y, (radius, joint, 0.7 * radius, 0.7 * radius))
    return _film(0.4 * soft + 0.6 * bones, rng)


def skull(side: int, rng: np.random.Generator) -> Picture:
    """A skull from the front or the side: a dense ring, orbits, jaw, neck."""
    x, y = _grid(side, rng)
    wide, tall = rng.uniform(0.55, 0.8), rng.uniform(0.6, 0.8)
    outer = _ellipse(x, y, (0, -0.2, wide, tall))
    inner = _ellipse(x, y, (0, -0.2, 0.9 * wide, 0.92 * tall))
    bones = outer - 0.75 * inner + 0.3 * outer
    jaw = 0.6 * _ellipse(x, y, (0.1 * rng.normal(), 0.55, 0.42, 0.35))
    holes = sum(_ellipse(x, y, (s * 0.26, 0.12, 0.17, 0.13)) for s in (-1, 1))
    nose = _ellipse(x, y, (0, 0.32, 0.09, 0.17))
    teeth = 0.3 * _ellipse(x, y, (0, 0.62, 0.25, 0.06)) * (1 + np.cos(40 * x))
    neck = 0.5 * _capsule(x, y, (0, 0.7, 0, 2), 0.3)
    total = bones + jaw + neck + teeth - 0.35 * holes - 0.3 * nose
    return _film(np.clip(total, 0, None), rng)


def spine(side: int, rng: np.random.Generator) -> Picture:
    """A row of vertebrae in soft tissue, from the side or the front; perhaps hips below."""
    x, y = _grid(side, rng)
    total = 0.35 * _capsule(x, y, (0, -2, 0, 2), rng.uniform(0.6, 1.2))
    step, curve = rng.uniform(0.16, 0.3), rng.uniform(-0.25, 0.25)
    for level in np.arange(-1.2, 1.2, step):
        middle = curve * np.sin(1.5 * level)
        total += 0.5 * _ellipse(x, y, (middle, level, 0.17, 0.42 * step))
        total += 0.2 * _ellipse(x, y, (middle + 0.26, level + 0.05, 0.12, 0.25 * step))
    if rng.random() < 0.4:
        for s in (-1, 1):
            total += 0.5 * _ellipse(x, y, (s * 0.5, 0.75, 0.4, 0.35))
            total -= 0.3 * _ellipse(x, y, (s * 0.35, 1.0, 0.14, 0.18))
    return _film(np.clip(total, 0, None), rng)


def abdomen(side: int, rng: np.random.Generator) -> Picture:
    """An abdomen and pelvis: spine, hips, and bubbles of gas."""
    x, y = _grid(side, rng)
    total = 0.8 * _ellipse(x, y, (0, 0, 1.1, 1.5)) + 0.2 * _capsule(x, y, (0, -2, 0, 0.5), 0.14)
    for s in (-1, 1):
        total += 0.3 * _ellipse(x, y, (s * 0.55, 0.6, 0.38, 0.36))
        total += 0.3 * _capsule(x, y, (s * 0.75, 0.95, s * 0.8, 2), 0.14)
    total -= 0.25 * _ellipse(x, y, (0, 0.8, 0.3, 0.2))
    for _ in range(int(rng.integers(5, 16))):
        across, down = rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.5)
        wide, tall = rng.uniform(0.05, 0.22, 2)
        total -= rng.uniform(0.1, 0.3) * _ellipse(x, y, (across, down, wide, tall))
    return _film(np.clip(total, 0, None), rng)


def slices(side: int, rng: np.random.Generator) -> Picture:
    """A cross-section of a body or a head: an outline, a wall, organs as flat areas."""
    x, y = _grid(side, rng)
    wide, tall = rng.uniform(0.6, 0.95), rng.uniform(0.55, 0.9)

    def inside(place: tuple[float, float, float, float]) -> _Field:
        return (_ellipse(x, y, place) > 0).astype(np.float64)

    total = rng.uniform(0.2, 0.5) * inside((0, 0, wide, tall))
    total += rng.uniform(-0.2, 0.6) * inside((0, 0, 0.9 * wide, 0.9 * tall))
    for _ in range(int(rng.integers(2, 10))):
        across, down = rng.uniform(-0.6, 0.6) * wide, rng.uniform(-0.6, 0.6) * tall
        size = rng.uniform(0.06, 0.35, 2)
        total += rng.uniform(-0.3, 0.3) * inside((across, down, *size.tolist()))
    total *= inside((0, 0, wide, tall))
    return _film(np.clip(total, 0, None), rng)


def breast(side: int, rng: np.random.Generator) -> Picture:
    """A mammogram: half an ellipse at one side, with strands."""
    from scipy.ndimage import gaussian_filter

    x, y = _grid(side, rng)
    outline = _ellipse(x, y, (-1.1, 0, rng.uniform(1.1, 1.7), rng.uniform(0.7, 1.1)))
    strands = gaussian_filter(rng.standard_normal((side, side)), side / 40)
    total = outline * (0.5 + 0.5 * np.clip(strands / strands.std(), -1, 2))
    picture = _film(np.clip(total, 0, None), rng)
    return np.asarray(picture[:, ::-1] if rng.random() < 0.5 else picture)


def ultrasound(side: int, rng: np.random.Generator) -> Picture:
    """A fan of speckle on black."""
    from scipy.ndimage import gaussian_filter

    line = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(line * 2 - 1, line * 2)
    radius, angle = np.hypot(x, y + 0.3), np.arctan2(x, y + 0.3)
    fan = (np.abs(angle) < rng.uniform(0.4, 0.8)) & (radius < 2.1) & (radius > 0.4)
    speckle = np.abs(gaussian_filter(rng.standard_normal((side, side)), (0.7, 1.5)))
    layers = 0.6 + 0.4 * np.sin(radius * rng.uniform(4, 15) + rng.uniform(0, 6))
    blobs = gaussian_filter(rng.standard_normal((side, side)), side / 14)
    return _film(fan * speckle * layers * (1 + (blobs > blobs.std())), rng)


def fundus(side: int, rng: np.random.Generator) -> Picture:
    """The back of an eye: a disc on black with vessels that branch from a bright spot."""
    x, y = _grid(side, rng)
    disc = (np.hypot(x, y) < 0.9) * (0.6 - 0.2 * np.hypot(x, y))
    spot = rng.uniform(-0.5, 0.5)
    total = disc + 0.5 * _ellipse(x, y, (spot, 0, 0.14, 0.16))
    for _ in range(int(rng.integers(6, 14))):
        at, angle = np.array([spot, 0.0]), rng.uniform(0, 2 * np.pi)
        for _ in range(6):
            angle += rng.normal(0, 0.35)
            to = at + 0.2 * np.array([np.cos(angle), np.sin(angle)])
            ends = (float(at[0]), float(at[1]), float(to[0]), float(to[1]))
            total -= 0.2 * (disc > 0) * _capsule(x, y, ends, 0.018)
            at = to
    return _film(np.clip(total, 0, None), rng)


ANATOMY: dict[str, Callable[[int, np.random.Generator], Picture]] = {
    "hand": hand, "limb": limb, "skull": skull, "spine": spine, "abdomen": abdomen,
    "slices": slices, "breast": breast, "ultrasound": ultrasound, "fundus": fundus,
}  # fmt: skip
"""Every kind, by name."""
