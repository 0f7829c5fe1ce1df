"""What to say when a name is not known."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known: it lists the close matches, or everything when nothing is close.

    Args:
        kind: what the name should have been, such as ``"model"``.
        name: what was asked for.
        known: the names that exist.

    Returns:
        A `ValueError` for the caller to raise.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3) or [candidate for candidate in known if name in candidate][:3]
    if close:
        hint = "did you mean " + " or ".join(repr(match) for match in close) + "?"
    else:
        hint = "known: " + (", ".join(known) or "none")
    return ValueError(f"unknown {kind} {name!r}; {hint}")
