"""Errors that a user can do something about. Everything else is a defect of augmint's.

The command line turns `UsageError` into exit code 2, `InputError` (and `Diverged`) into exit code 3,
a failed gate into 4, and any other exception into exit code 1.
"""


class AugmintError(Exception):
    """One line: what is wrong, where, and what to do about it."""

    exit_code = 1


class UsageError(AugmintError):
    """The command or call does not fit together: an unknown name, an option that contradicts another."""

    exit_code = 2


class InputError(AugmintError):
    """Something outside augmint is not as it has to be: a file, a folder, a label, the disk."""

    exit_code = 3


class Diverged(AugmintError):
    """A training produced a loss or weights that are not finite; its last good checkpoint is kept."""

    exit_code = 3


def wants_memory(error: Exception) -> bool:
    """Whether memory is what was wanting, as Python, NumPy and torch say it."""
    said = ("can't allocate memory", "Storage size calculation overflowed", "CUDA out of memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)
