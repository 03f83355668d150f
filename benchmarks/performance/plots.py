"""Draws how times grow, one small picture for each axis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "performance"
NAMES: Final = {"fp32": "float32", "int8": "int8"}
_COLOURS: Final = {"fp32": "#1f5fa8", "int8": "#c2571a"}
_INCHES: Final = (3.6, 2.5)
_DOTS: Final = 110


def growth(rows: Sequence[dict[str, Any]], axis: str, fixed: str, file: Path) -> None:
    """Write a picture of seconds over the values of an axis, a line for each precision.

    Parameters
    ----------
    rows
        With value, precision and seconds.
    axis, fixed
        What grows, and the words that say what does not.
    file
        The PNG.
    """
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    precisions = list(dict.fromkeys(row["precision"] for row in rows))
    for precision in precisions:
        _line(axes, [row for row in rows if row["precision"] == precision], precision)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(axis)
    axes.set_ylabel("seconds")
    axes.set_title(fixed, fontsize=7.5, color="#555555")
    axes.grid(color="#e5e5e5", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    file.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of matplotlib in the file, equal figures give equal bytes.
    figure.savefig(file, dpi=_DOTS, metadata={"Software": None})


def _line(axes: Axes, rows: Sequence[dict[str, Any]], precision: str) -> None:
    values, seconds = [row["value"] for row in rows], [row["seconds"] for row in rows]
    axes.plot(
        values,
        seconds,
        marker="o",
        markersize=3.5,
        linewidth=1.6,
        color=_COLOURS.get(precision),
        label=NAMES.get(precision, precision),
    )
