"""Errors for unknown names, with suggestions."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name of a kind, such as "model", which lists the close matches or all names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3) or [candidate for candidate in known if name in candidate][:3]
    if close:
        hint = "did you mean " + " or ".join(repr(match) for match in close) + "?"
    else:
        hint = "known: " + (", ".join(known) or "none")
    return ValueError(f"unknown {kind} {name!r}; {hint}")
