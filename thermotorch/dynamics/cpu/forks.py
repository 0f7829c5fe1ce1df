"""Threads of the operators, in a process and in its forked children.

A forked child does not inherit the threads of OpenMP, yet the library there waits for them for ever, in these operators
as in torch's own. A child of a process whose operators ran in parallel therefore uses one thread.
"""

import os

import torch

_watched = False


def threads() -> int:
    """Return the number of threads for an operator, that of torch."""
    global _watched
    count = torch.get_num_threads()
    if count > 1 and not _watched:
        _watched = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
    return count
