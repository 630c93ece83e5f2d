"""The whole tree of errors that a user can meet, and the exit code of each.

    HearthError                 every error below; `str()` is one message that says what to do
     +- UsageError          2   a command or a request was given something it cannot take
     +- NoDaemonError       3   nothing answers on the daemon's socket
     +- ConfigError         4   configuration: names the file, the key and the remedy
     +- BusyError           5   the port or the lock is held by another process
     +- ModelError          6   a model file is missing, broken, or cannot run here
     +- DeadlineError       7   the answer did not come in time

A refusal by policy is no error: it is an `End` with a `Reason`, and the edges turn it into their protocol's
words. An engine's failure is an event. Anything else that escapes is a bug and shows its traceback.
"""

from __future__ import annotations


class HearthError(Exception):
    """An error whose message a user can act on."""

    exit_code = 1


class UsageError(HearthError):
    """A command or request was given something it cannot take."""

    exit_code = 2


class NoDaemonError(HearthError):
    """Nothing answers on the daemon's socket."""

    exit_code = 3


class ConfigError(HearthError):
    """The configuration is wrong."""

    exit_code = 4


class BusyError(HearthError):
    """A port or the lock is held by another process."""

    exit_code = 5


class ModelError(HearthError):
    """A model file is missing, broken, or cannot run here."""

    exit_code = 6


class DeadlineError(HearthError):
    """The answer did not come in time."""

    exit_code = 7
