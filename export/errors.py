"""Errors of the export, each with a message for the person who started it."""


class ExportError(Exception):
    """An export that cannot go on; the message says what was given and what is expected."""


class CheckpointError(ExportError):
    """A checkpoint, adapter or events file that cannot be used."""


class ParityError(ExportError):
    """The exported graphs differ from torch by more than the tolerance; no bundle was written."""
