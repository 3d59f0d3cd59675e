"""The exception for requests that cannot be met."""

import difflib
from collections.abc import Iterable

MANY = 100  # longer lists of valid names are only counted in the message


class SetupError(ValueError):
    """A request that cannot be met; the message names the field, the given value and what to give instead.

    Library code raises this error while a run is being set up, before any work is done. The command line
    prints the message on one line and exits with status 2.
    """


def unknown(what: str, given: object, valid: Iterable[object]) -> SetupError:
    """Builds the error for a value outside a closed set and suggests the nearest valid names.

    Args:
      what: Name of the field, e.g. ``"loss"``.
      given: Value that the user gave.
      valid: All valid values.

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
