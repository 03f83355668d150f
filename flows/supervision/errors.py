"""Defines the error of starting and stopping the processes of a machine."""


class UpError(RuntimeError):
    """The processes can't be started, stopped or asked; the message says why and what to do."""
