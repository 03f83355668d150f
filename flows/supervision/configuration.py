"""Writes the configuration of supervisord from the list of programs."""

import configparser
import io
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flows.supervision.errors import UpError
from flows.supervision.programs import Program

_LOG_BYTES: Final = "10MB"
_LOG_COUNT: Final = 5
"""Older logs that are kept beside the current one."""
_QUICK_S: Final = 5
"""A program that ends sooner than this is started again after a wait, which grows with each such end."""
_FOR_EVER: Final = 1_000_000
"""Starts that are tried: a program is not given up, however long the fault lasts that ends it."""

_SUPERVISOR: Final[Mapping[str, Mapping[str, Any]]] = {
    "unix_http_server": {"file": "%(here)s/supervisor.sock", "chmod": "0700"},
    "supervisord": {
        "logfile": "%(here)s/logs/supervisord.log",
        "logfile_maxbytes": _LOG_BYTES,
        "logfile_backups": _LOG_COUNT,
        "pidfile": "%(here)s/supervisord.pid",
        "childlogdir": "%(here)s/logs",
    },
    "rpcinterface:supervisor": {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    },
}


def configuration(programs: Sequence[Program]) -> str:
    """Return the text of the configuration, in the order in which the programs start.

    The programs are started one by one, when what they need is ready, and so not by supervisord itself. Paths
    are relative to the configuration's folder (``%(here)s``).

    Raises
    ------
    UpError
        A word of a command line can't be written in it.
    """
    file = configparser.RawConfigParser(interpolation=None)
    file.read_dict(_SUPERVISOR)
    if os.geteuid() == 0:
        file["supervisord"]["user"] = "root"  # without it supervisord warns about its own account
    for number, program in enumerate(programs, start=1):
        section: dict[str, Any] = {
            "command": _command(program.command),
            "priority": number,
            "autostart": "false",
            "autorestart": "true",
            "startsecs": _QUICK_S,
            "startretries": _FOR_EVER,
            "stopsignal": "TERM",
            "stopwaitsecs": program.stop_s,
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": f"%(here)s/logs/{program.name}.log",
            "stdout_logfile_maxbytes": _LOG_BYTES,
            "stdout_logfile_backups": _LOG_COUNT,
        }
        if program.environment:
            section["environment"] = ",".join(
                f'{name}="{value}"' for name, value in program.environment.items()
            )
        file[f"program:{program.name}"] = section
    text = io.StringIO()
    file.write(text)
    return text.getvalue()


def _command(words: Sequence[str]) -> str:
    for word in words:
        if any(mark in word for mark in (" ;", " #", "\n")):
            raise UpError(
                f"{word!r} has a blank followed by ; or # in it, which supervisord takes for a comment: "
                "move the environment to another folder"
            )
    return shlex.join(words).replace("%", "%%")
