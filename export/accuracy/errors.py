"""Errors of the measurement of accuracy."""

from export.errors import ExportError


class CandleFileError(ExportError):
    """Candles that the accuracy cannot be measured on; the message says what was given and what is needed."""


class AccuracyError(ExportError):
    """A bundle that loses more accuracy against float32 than is allowed."""
