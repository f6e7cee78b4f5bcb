"""A study in pictures: how it went, which fields mattered, and what each of their values gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.reporting.canvas import (
    ACCENT,
    HEIGHT,
    INK,
    MUTED,
    PALETTE,
    SMALL,
    WIDTH,
    NamedFigure,
    add_panel,
    name_axes,
    new_figure,
    plain,
    set_ticks,
    write,
)
from pneumoscope.reporting.words import count, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL = (0.62, 0.62, WIDTH - 0.85, HEIGHT - 1.15)
_SHOWN_CHOICES = 12
_WORST_SHOWN = 3.0
"""Interquartile ranges below the lower quartile from which a value is drawn at the edge."""


@dataclass(frozen=True)
class Point:
    """One trial, as figures and tables show it; see `TrialRecord`."""

    number: int
    state: str
    value: float | None
    params: Mapping[str, str | int | float | bool | None]
    epochs: int
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Axis:
    """A varied field: `values` names its choices in order, None where it is a range."""

    name: str
    log: bool
    values: tuple[str, ...] | None


def name_measure(metric: str) -> str:
    """The study's metric in words.

    >>> name_measure("validation_auc"), name_measure("validation_loss")
    ('Validation AUC', 'Validation loss')
    """
    return metric.replace("_", " ").capitalize().replace("auc", "AUC")


def tuning_history_figure(
    points: Sequence[Point], *, metric: str, higher_is_better: bool
) -> NamedFigure:
    """Every trial's value against its number, and the best so far as a line.

    Args:
        points: the trials in order.
        metric: of their values.
        higher_is_better: which way.
    """
    figure = new_figure()
    axes = add_panel(figure, _PANEL)
    known = [p for p in points if p.value is not None]
    _draw_scale(axes, known, higher_is_better=higher_is_better)
    last = max((p.number for p in points), default=1)
    axes.set_xlim(-0.5, max(1, last) + 0.5)
    set_ticks(axes, x=_whole(0, max(1, last)), y=list(axes.get_yticks()))
    steps = _best_so_far(known, higher_is_better=higher_is_better)
    if steps:
        x, y = [number for number, _ in steps] + [last], [value for _, value in steps]
        axes.step(x, [*y, y[-1]], where="post", color=ACCENT, linewidth=1.6, label="best so far",
                  zorder=2)  # fmt: skip
    _scatter(axes, [(p.number, p) for p in known])
    name_axes(axes, x="Trial", y=name_measure(metric))
    _write_states(axes, known)
    best = "none was finished"
    if steps:
        best = f"the best value is {format_number(steps[-1][1])}, of trial {steps[-1][0]}"
    return NamedFigure("tuning_history", figure, f"{count(len(points), 'trial')}: {best}.")


def importance_figure(importances: Mapping[str, float]) -> NamedFigure | None:
    """How much of the good trials each field explains; None where nothing is known."""
    if not importances:
        return None
    ranked = sorted(importances.items(), key=lambda item: -item[1])[:_SHOWN_CHOICES]
    figure = new_figure()
    axes = add_panel(figure, (0.3, 0.62, WIDTH - 0.75, HEIGHT - 1.0))
    places = np.arange(len(ranked))[::-1]
    top = max(value for _, value in ranked) or 1.0
    axes.set(xlim=(0, top * 1.05), ylim=(-0.6, len(ranked) - 0.1))
    set_ticks(axes, x=_round_steps(0, top))
    for place, (name, value) in zip(places, ranked, strict=True):
        axes.barh(place - 0.18, value, height=0.28, color=ACCENT, zorder=2)
        write(axes, (0, place + 0.08), plain(name, longest=42), size=SMALL)
        write(axes, (value, place - 0.18), f"{value:.2f}", offset=(4, 0), color=MUTED, size=SMALL,
              vertical="center", halo=True)  # fmt: skip
    name_axes(axes, x="Part of what tells good trials from others")
    name, value = ranked[0]
    alt = f"{name} explains most of what tells good trials from others: {value:.2f} of 1."
    return NamedFigure("tuning_importance", figure, alt)


def slice_figure(
    axis: Axis, points: Sequence[Point], *, metric: str, higher_is_better: bool, number: int
) -> NamedFigure | None:
    """Every trial's value against one field; None where no trial has one.

    Args:
        axis: the field.
        points: the trials.
        metric: of their values.
        higher_is_better: which way.
        number: of the figure, to name it.
    """
    known = [p for p in points if p.value is not None and axis.name in p.params]
    if not known:
        return None
    figure = new_figure()
    axes = add_panel(figure, _PANEL if axis.values is None else _room_for_words(axis.values))
    _draw_scale(axes, known, higher_is_better=higher_is_better)
    heights = axes.get_yticks()
    if axis.values is None:
        placed = [(float(p.params[axis.name] or 0), p) for p in known]
        _scale_numbers(axes, [x for x, _ in placed], log=axis.log, y=list(heights))
    else:
        placed = _choices(axes, axis.values, known, list(heights), axis.name)
    _scatter(axes, placed)
    write(axes, (0, 1), plain(axis.name, longest=44), offset=(0, 24), fraction=True, color=INK)
    name_axes(axes, y=name_measure(metric))
    best = _best(known, higher_is_better=higher_is_better)
    given = plain(str(best.params[axis.name]), longest=60)
    alt = f"Trials by {axis.name}: the best had {given} ({format_number(best.value)})."
    return NamedFigure(f"tuning_slice_{number}", figure, alt)


def _room_for_words(values: Sequence[str]) -> tuple[float, float, float, float]:
    lines = min(len(values), _SHOWN_CHOICES)
    bottom = 0.45 + 0.2 * lines if _are_long(values) else 0.62
    bottom = min(bottom, 2.4)
    return (0.62, bottom, WIDTH - 0.85, HEIGHT - bottom - 0.6)


def _are_long(values: Sequence[str]) -> bool:
    return len(values) * max(map(len, values)) > 34


def _choices(
    axes: Axes, values: Sequence[str], known: Sequence[Point], heights: list[float], name: str
) -> list[tuple[float, Point]]:
    """Choices side by side, long ones numbered with a key below; where each trial is."""
    axes.set_xlim(-0.6, len(values) - 0.4)
    words = [str(place + 1) for place in range(len(values))] if _are_long(values) else list(values)
    set_ticks(axes, y=heights)
    axes.set_xticks(range(len(values)), labels=words, parse_math=False)
    if _are_long(values):
        for place, value in enumerate(values[:_SHOWN_CHOICES]):
            text = f"{place + 1}  {plain(value, longest=52)}"
            write(axes, (0, 0), text, offset=(-30, -32 - 14 * place), fraction=True, color=MUTED,
                  size=SMALL - 1)  # fmt: skip
    rng = np.random.default_rng(0)
    return [(values.index(str(p.params[name])) + float(rng.uniform(-0.15, 0.15)), p) for p in known]


def _scale_numbers(axes: Axes, found: Sequence[float], *, log: bool, y: list[float]) -> None:
    low, high = min(found), max(found)
    if log and low > 0:
        axes.set_xscale("log")
        room = (high / low) ** 0.06 if high > low else 1.5
        axes.set_xlim(low / room, high * room)
        powers = range(math.floor(math.log10(low / room)), math.ceil(math.log10(high * room)) + 1)
        fine = [10.0**power * lead for power in powers for lead in (1, 3)]
        ticks = [tick for tick in fine if low / room <= tick <= high * room]
        whole = [tick for tick in ticks if math.log10(tick) % 1 < 1e-9]
        set_ticks(axes, x=ticks if len(ticks) < 6 else whole, y=y)
        axes.set_xticks([], minor=True)
        return
    room = 0.06 * (high - low) or 0.5
    axes.set_xlim(low - room, high + room)
    set_ticks(axes, x=_round_steps(low, high), y=y)


def _draw_scale(axes: Axes, known: Sequence[Point], *, higher_is_better: bool) -> None:
    """The values' axis; a failure far behind the others is drawn at the edge."""
    values = np.array([p.value for p in known] or [0.0, 1.0], dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    first, third = np.quantile(values, [0.25, 0.75])
    spread = _WORST_SHOWN * float(third - first)
    if higher_is_better and spread > 0:
        low = max(low, float(first) - spread)
    elif spread > 0:
        high = min(high, float(third) + spread)
    room = 0.08 * (high - low) or 0.02
    axes.set_ylim(low - room, high + room)
    axes.set_yticks(_round_steps(low - room, high + room))


def _scatter(axes: Axes, placed: Sequence[tuple[float, Point]]) -> None:
    low, high = axes.get_ylim()
    for x, point in placed:
        value = min(max(float(point.value or 0), low), high)
        done = point.state == "complete"
        axes.plot(
            [x], [value], marker="o" if done else "x", markersize=5.5 if done else 5,
            markerfacecolor=ACCENT, markeredgecolor="white" if done else PALETTE[1],
            markeredgewidth=0.7 if done else 1.4, linestyle="", clip_on=False, zorder=4,
        )  # fmt: skip


def _write_states(axes: Axes, known: Sequence[Point]) -> None:
    pruned = sum(p.state != "complete" for p in known)
    text = f"● finished {len(known) - pruned}"
    text += f"   \u00d7 stopped early {pruned}" if pruned else ""
    write(axes, (1, 1), text, offset=(0, 9), fraction=True, color=MUTED, size=SMALL, align="right")


def _best_so_far(known: Sequence[Point], *, higher_is_better: bool) -> list[tuple[int, float]]:
    steps: list[tuple[int, float]] = []
    for point in known:
        if point.state != "complete" or point.value is None:
            continue
        better = not steps or (
            point.value > steps[-1][1] if higher_is_better else point.value < steps[-1][1]
        )
        if better:
            steps.append((point.number, point.value))
    return steps


def _best(known: Sequence[Point], *, higher_is_better: bool) -> Point:
    done = [p for p in known if p.state == "complete"] or list(known)
    sign = 1 if higher_is_better else -1
    return max(done, key=lambda p: sign * (p.value or 0.0))


def _round_steps(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    if not high > low:
        return [low]
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]


def _whole(low: int, high: int) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=6, integer=True).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]
