"""Writes an evaluation as one HTML file that loads nothing, and as JSON."""

import base64
from pathlib import Path
from typing import Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from flows.backtest.units import DIGITS
from flows.evaluation.charts import charts
from flows.evaluation.evaluation import Evaluation
from flows.evaluation.figures_as_text import costs, number, with_interval, with_t

_TEMPLATES: Final = Environment(
    loader=PackageLoader("flows.evaluation", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"number": number, "with_interval": with_interval, "with_t": with_t}


def write_html(evaluation: Evaluation, file: Path) -> None:
    """Write the report; a browser shows it without a network."""
    pictures = {
        name: "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()
        for name, text in charts(evaluation).items()
    }
    page = _TEMPLATES.get_template("report.html").render(
        evaluation=evaluation, charts=pictures, digits=DIGITS[evaluation.unit], costs=costs(evaluation)
    )
    file.write_text(page, encoding="utf-8")


def write_json(evaluation: Evaluation, file: Path) -> None:
    """Write every figure; those that are unknown are null."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=1) + b"\n")
