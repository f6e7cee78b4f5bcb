"""What a phantom is drawn from: anatomy, beam, attenuation, opacities, exposure.

Attenuations of body, lungs, bones and heart add up along the beam, as they do in a radiograph,
and a film curve turns the sum into grey levels. Coordinates are fractions of half the picture:
x to the right, y down, both in [-1, 1]; `side` is the distance from the spine. Lengths and
attenuations were chosen by eye against radiographs; they measure nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import Canvas, FloatArray

Layer: TypeAlias = FloatArray
"""`[size, size]`, float32, attenuation or a fraction."""


@dataclass(frozen=True)
class Anatomy:
    """What all images of a patient share; lengths as fractions of half the picture."""

    cage_width: float
    cage_top: float
    diaphragm: float
    heart_width: float
    heart_height: float
    heart_x: float
    torso: float
    shoulder: float
    neck: float
    fat: float
    lung_density: float
    bone: float
    rib_spacing: float
    rib_phase: float
    rib_slope: float
    clavicle: float
    scoliosis: float
    stomach_gas: float
    vessels: float
    breast: float
    haze: float


@dataclass(frozen=True)
class Beam:
    """One picture's coordinates, and the lungs and heart that other layers refer to."""

    x: Layer
    y: Layer
    side: Layer
    cage: Layer
    lungs: Layer
    heart: Layer
    abdomen: Layer


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A patient: every length and density drawn from its range."""
    draw = rng.uniform
    cage_width = draw(0.68, 0.78)
    return Anatomy(
        cage_width=cage_width,
        cage_top=draw(-0.76, -0.68),
        diaphragm=draw(0.36, 0.54),
        heart_width=draw(0.36, 0.48),
        heart_height=draw(0.30, 0.38),
        heart_x=draw(0.10, 0.17),
        torso=cage_width + draw(0.10, 0.20),
        shoulder=draw(-0.68, -0.58),
        neck=draw(0.27, 0.36),
        fat=draw(0.0, 1.0),
        lung_density=draw(0.0, 0.12),
        bone=draw(0.75, 1.2),
        rib_spacing=draw(0.150, 0.170),
        rib_phase=draw(0.0, 1.0),
        rib_slope=draw(0.8, 1.15),
        clavicle=draw(-0.56, -0.48),
        scoliosis=draw(-0.03, 0.03),
        stomach_gas=draw(-0.10, 0.14),
        vessels=draw(0.7, 1.3),
        breast=draw(-0.04, 0.08),
        haze=draw(-0.04, 0.08),
    )


def posed_grid(size: int, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """Anatomical x and y of every pixel after a drawn rotation, scale and shift."""
    angle = math.radians(rng.normal(0, 2.5))
    scale, aspect = math.exp(rng.normal(0, 0.04)), math.exp(rng.normal(0, 0.04))
    shift_x, shift_y = rng.normal(0, 0.035), rng.normal(0, 0.035)
    line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    across, down = line[None, :] - shift_x, line[:, None] - shift_y
    x = (math.cos(angle) * across + math.sin(angle) * down) * (scale * aspect)
    y = (math.cos(angle) * down - math.sin(angle) * across) * (scale / aspect)
    return x, y


def _step(distance: Layer, softness: float) -> Layer:
    """A smooth step from 0 (negative distance) to 1, `softness` wide on each side."""
    t = distance * (0.5 / softness)
    t += 0.5
    np.clip(t, 0, 1, out=t)
    cubic = 3 - 2 * t
    cubic *= t
    cubic *= t
    return cubic


def draw_beam(anatomy: Anatomy, x: Layer, y: Layer) -> Beam:
    """Lungs, heart and abdomen of a patient on the posed grid."""
    x = x - anatomy.scoliosis * np.sin(2.5 * y)
    side = np.abs(x)
    cage = _cage(side, y, anatomy)
    dome = anatomy.diaphragm + 0.025 * np.tanh(12 * x) + 0.9 * (side - 0.33) ** 2
    dome -= 0.06 * _step(0.2 - side, 0.15)
    heart = _heart(x, y, anatomy)
    medial = 0.13 + 0.05 * _step(-0.45 - y, 0.2) + 0.04 * _step(y + 0.25, 0.25)
    inside = _step((0.96 - cage) * 0.3, 0.014) * _step(side - medial, 0.03)
    above = _step(dome - y, 0.014)
    lungs = inside * above * (1 - _step(heart, 0.12))
    return Beam(x=x, y=y, side=side, cage=cage, lungs=lungs, heart=heart, abdomen=1 - above)


def _cage(side: Layer, y: Layer, anatomy: Anatomy) -> Layer:
    """Level of the rib cage's outline, a superellipse: 1 on it, less inside."""
    base = 0.45
    height = np.maximum(base - y, 0) / (base - anatomy.cage_top)
    across = side / anatomy.cage_width
    level: Layer = np.sqrt(height) * height * height + across * across
    return level


def _heart(x: Layer, y: Layer, anatomy: Anatomy) -> Layer:
    """1 at the heart's centre, 0 on its outline, negative outside."""
    bottom = anatomy.diaphragm + 0.06
    across, down = x - anatomy.heart_x, y - (bottom - anatomy.heart_height * 0.80)
    tilt = 0.80
    along = (math.cos(tilt) * across + math.sin(tilt) * down) / anatomy.heart_width
    over = (math.cos(tilt) * down - math.sin(tilt) * across) / (anatomy.heart_height * 0.86)
    # Narrower towards the great vessels, as a pear is.
    over *= 1 - 0.15 * np.clip(along, -1.2, 1.2)
    return 1 - along * along - over * over


def draw_attenuation(beam: Beam, anatomy: Anatomy, rng: np.random.Generator) -> Layer:
    """Everything but opacities, added along the beam."""
    lung_depth = 0.40 - anatomy.lung_density
    fullness = 0.72 + 0.28 * _step(0.8 - beam.cage, 0.6)
    total = _body(beam, anatomy)
    total -= beam.lungs * fullness * lung_depth
    total += _mediastinum(beam, anatomy)
    total += anatomy.bone * (_ribs(beam, anatomy, rng) + _shoulder_girdle(beam, anatomy))
    # Shallow breath crowds the bases, ill or not.
    bases = max(anatomy.haze, 0.0) * _step(beam.y + 0.3 - anatomy.diaphragm, 0.4)
    total += beam.lungs * (_vessels(beam, anatomy, rng) + bases)
    return total


def _body(beam: Beam, anatomy: Anatomy) -> Layer:
    """Soft tissue: torso, neck, shoulders and upper arms; fades towards the skin."""
    side, y = beam.side, beam.y
    waist = 0.04 * np.cos(2.2 * (y - 0.9))
    torso = np.minimum(anatomy.torso + waist - side, y - (anatomy.shoulder - 0.26) - 0.2 * side)
    slope = anatomy.shoulder - 0.42 + 0.30 * _step(side - 0.5, 0.5) + 0.08 * side
    shoulder = np.minimum(np.minimum(y - slope, 1.12 - side), 0.3 - y + 0.1 * side)
    neck = np.minimum(anatomy.neck + 0.25 * _step(-0.8 - y, 0.3) - side, 0.3 - y)
    arm = np.minimum(0.16 - np.abs(side - 1.10 - 0.10 * y), y - anatomy.shoulder + 0.1)
    breast = _step(1 - ((side - 0.52) / 0.30) ** 2 - ((y - 0.22) / 0.26) ** 2, 0.5)
    depth = np.maximum(np.maximum(torso, 0.7 * shoulder), np.maximum(0.55 * neck, 0.6 * arm))
    tissue: Layer = (1 - np.exp(-7 * np.clip(depth, 0, None))) * (0.50 + 0.06 * anatomy.fat)
    return tissue + max(anatomy.breast, 0.0) * breast


def _mediastinum(beam: Beam, anatomy: Anatomy) -> Layer:
    """Spine, great vessels, windpipe, heart and what lies below the diaphragm."""
    x, y, side = beam.x, beam.y, beam.side
    vertebra = np.cos(y * (2 * math.pi / (anatomy.rib_spacing * 0.95)) + 6 * anatomy.rib_phase)
    column = _step(0.095 + 0.01 * vertebra - side, 0.03)
    spine = column * (0.10 + 0.02 * vertebra)
    vessels = _step(0.17 - np.abs(x - 0.02), 0.07) * _step(y + 0.6, 0.5) * 0.09
    knob = np.exp(-(((x - 0.13) / 0.07) ** 2) - ((y + 0.30) / 0.09) ** 2) * 0.10
    windpipe = np.exp(-(((x + 0.01) / 0.045) ** 2)) * _step(-0.28 - y, 0.08) * 0.08
    heart = np.sqrt(np.clip(beam.heart, 0, 1)) * (1 - 0.8 * beam.abdomen) * 0.10
    liver = beam.abdomen * _step(0.99 - beam.cage, 0.25) * (0.14 - 0.04 * x)
    gas = ((x - 0.42) / 0.17) ** 2 + ((y - anatomy.diaphragm - 0.2) / 0.10) ** 2
    stomach = _step(1 - gas, 0.4) * max(anatomy.stomach_gas, 0.0)
    total: Layer = anatomy.bone * spine + vessels + knob + heart + liver - windpipe - stomach
    return total


def _ribs(beam: Beam, anatomy: Anatomy, rng: np.random.Generator) -> Layer:
    """Ribs behind (bright, arched) and in front (faint, sloping to the middle)."""
    across = np.clip(beam.side / anatomy.cage_width, 0, 1.1)
    cube = across * across * across
    tilt = anatomy.rib_slope * (0.30 + 0.09 * (beam.y + 0.7))
    behind = beam.y - tilt * (cube - 0.45 * across)
    front = beam.y - tilt * 0.55 - 0.50 * (1 - across) * (1.35 - across)
    strength = rng.uniform(0.75, 1.2, size=40).astype(np.float32)
    tangent = 1 + 0.9 * cube * cube
    back = _bands(behind, anatomy, strength) * _step(beam.side - 0.06, 0.05) * tangent
    fore = _bands(front, anatomy, strength) * _step(across - 0.5, 0.35) * 0.4
    inside = _step(1.03 - beam.cage, 0.05)
    total: Layer = (0.085 * inside * (1 - 0.55 * beam.abdomen)) * (back + fore)
    return total


def _bands(height: Layer, anatomy: Anatomy, strength: Layer) -> Layer:
    """A ladder of rounded bands, a denser rim on each, one strength per rung."""
    rung = (height + 1.5) / anatomy.rib_spacing + anatomy.rib_phase
    nearest = np.rint(rung)
    distance = np.abs(rung - nearest)
    index = np.clip(nearest, 0, len(strength) - 1).astype(np.int32)
    rim = np.exp(-(((distance - 0.22) * 14) ** 2))
    bands: Layer = strength[index] * (_step(0.25 - distance, 0.07) + 0.35 * rim)
    return bands


def _shoulder_girdle(beam: Beam, anatomy: Anatomy) -> Layer:
    """Collarbones, shoulder blades and the heads of the upper arms."""
    side, y = beam.side, beam.y
    line = anatomy.clavicle - 0.16 * side - 0.035 * np.sin(7 * side)
    off = np.abs(y - line) - 0.008 * _step(0.2 - side, 0.1)
    ends = _step(side - 0.07, 0.03) * _step(0.86 - side, 0.05)
    collarbone = ends * (_step(0.030 - off, 0.014) + 0.5 * np.exp(-(((off - 0.026) / 0.01) ** 2)))
    lean = side - 0.80 - 0.20 * (y + 0.4)
    blade = 1 - (lean / 0.15) ** 2 - ((y + 0.36) / 0.30) ** 2
    scapula = _step(blade, 0.25) + 0.8 * np.exp(-((blade / 0.12) ** 2)) * _step(-lean, 0.1)
    shaft = _step(0.06 - np.abs(side - 1.06 - 0.1 * y), 0.02) * _step(y - anatomy.shoulder, 0.04)
    head = _step(1 - ((side - 0.97) / 0.11) ** 2 - ((y - anatomy.shoulder) / 0.11) ** 2, 0.2)
    total: Layer = 0.10 * collarbone + 0.045 * scapula + 0.10 * np.maximum(shaft, head)
    return total


def _vessels(beam: Beam, anatomy: Anatomy, rng: np.random.Generator) -> Layer:
    """Vessel shadows branching out from each hilum, thinner and fainter with distance."""
    across, down = beam.side - 0.195, beam.y + 0.05
    radius = np.sqrt(across * across + down * down)
    angle = np.arctan2(down, across) + 0.5 * np.sin(6 * radius + anatomy.rib_phase)
    reach = np.exp(-2 * radius) * _step(radius - 0.10, 0.10)
    streaks = _streaks(angle, radius, beam.x > 0, rng) * reach
    total: Layer = streaks + 0.9 * np.exp(-((radius / 0.09) ** 2))
    return total * (0.09 * anatomy.vessels)


def _streaks(
    angle: Layer, radius: Layer, right: NDArray[np.bool_], rng: np.random.Generator
) -> Layer:
    """Noise smooth along the radius and rough along the angle, its own for either lung."""
    from scipy.ndimage import gaussian_filter

    table = rng.standard_normal((2, 256, 48), dtype=np.float32)
    table = gaussian_filter(table, (0, 1.8, 3.0), mode=("nearest", "wrap", "nearest"))
    table = np.clip(table / table.std(), -0.3, 2.5)
    row = (angle * (128 / math.pi)).astype(np.int32) & 255
    column = np.minimum((radius * 40).astype(np.int32), 47)
    streaks: Layer = table.ravel()[(right * np.int32(256) + row) * 48 + column]
    return streaks


def draw_opacities(beam: Beam, place: np.random.Generator, severity: np.random.Generator) -> Layer:
    """Consolidation of a lobe, or several patches, inside the lungs only."""
    lobar = place.random() < 0.5
    count = int(place.integers(1, 3)) if lobar else int(place.integers(4, 9))
    level = np.full_like(beam.x, -1)
    for _ in range(count):
        right = place.random() < 0.5
        y = place.uniform(-0.45, 0.3)
        # Room for the heart, which hides what lies behind it.
        side = place.uniform(0.3, 0.56) + 0.14 * (right and y > 0)
        radius = place.uniform(0.22, 0.36) if lobar else place.uniform(0.10, 0.18)
        flat = place.uniform(0.75, 1.3)
        across = (beam.x - (side if right else -side)) * (1 / (radius * flat))
        down = (beam.y - y) * (flat / radius)
        np.maximum(level, 1 - across * across - down * down, out=level)
    ragged = _clouds(beam, place)
    density = _step(level + 0.35 * ragged - 0.15, 0.8) * (1 + 0.25 * ragged)
    return beam.lungs * density * severity.uniform(0.06, 0.20)


def _clouds(beam: Beam, rng: np.random.Generator) -> Layer:
    """Smooth noise, mean 0 and deviation near 1, fixed to the anatomy and not to the pixels."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    table = rng.standard_normal((2, 96, 96), dtype=np.float32)
    coarse, fine = gaussian_filter(table[0], 3.5), gaussian_filter(table[1], 1.0)
    mixed = coarse * (0.9 / coarse.std()) + fine * (0.45 / fine.std())
    places = (np.stack([beam.y, beam.x]) + 1.1) * 43
    clouds: Layer = map_coordinates(mixed, places, order=1, mode="nearest")
    return clouds


def expose(attenuation: Layer, rng: np.random.Generator) -> Canvas:
    """Grey levels of the exposed film: a drawn window and curve, detector and quantum noise."""
    contrast = math.exp(rng.normal(0, 0.10))
    brightness = rng.normal(0.47, 0.035)
    gamma = math.exp(rng.normal(0, 0.10))
    noise = rng.uniform(0.006, 0.018)
    grain = rng.standard_normal(attenuation.shape, dtype=np.float32)
    # Fewer quanta behind dense tissue: relative noise grows with attenuation.
    film = attenuation + grain * (noise * np.sqrt(0.3 + np.clip(attenuation, 0, 1)))
    film = np.clip((film - 0.45) * contrast + brightness, 0, 1) ** gamma
    canvas: Canvas = np.rint(film * 252).astype(np.uint8)
    return canvas
