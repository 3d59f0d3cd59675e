"""The one exception for what a user asked for and cannot have."""

import difflib
from collections.abc import Iterable

MANY = 100  # more valid names than these are counted and not listed


class SetupError(ValueError):
    """A request that cannot be met; its message names the field, the value given and what would do.

    Library code raises it while a run is being set up, before any work is done. The command line
    prints it as one line and exits with status 2.
    """


def unknown(what: str, given: object, valid: Iterable[object]) -> SetupError:
    """Builds the error for a value outside a closed set, nearest valid names first.

    Args:
      what: the field's name, e.g. ``"loss"``.
      given: the value the user gave.
      valid: every value that would do.

    Returns:
      The exception, to be raised by the caller.

    >>> print(unknown("loss", "hing", ["hinge", "wasserstein"]))
    unknown loss 'hing': did you mean 'hinge'? (valid: hinge, wasserstein)
    """
    names = sorted(str(name) for name in valid)
    near = difflib.get_close_matches(str(given), names, n=3, cutoff=0.5)
    hint = f" did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(names) if len(names) <= MANY else f"{len(names)} names"
    return SetupError(f"unknown {what} {str(given)!r}:{hint} (valid: {listed})")
