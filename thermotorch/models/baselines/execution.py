"""Number format and memory layout in which a convolutional network runs fastest on the processor at hand.

bfloat16 doubles the speed of processors with matrix units for it and slows down others; `channels_last` speeds up some
convolutions and slows down others. Measurement decides.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

EXECUTIONS = ("float32", "float32 channels_last", "bfloat16", "bfloat16 channels_last")
_REPEATS = 3
_GAIN = 1.05  # least gain that replaces float32, whose results are reproducible elsewhere


def check_execution(execution: str) -> None:
    """Raise a ValueError unless `execution` is a member of `EXECUTIONS` or "auto"."""
    if execution not in (*EXECUTIONS, "auto"):
        raise ValueError(f"execution: expected one of {', '.join(EXECUTIONS)}, auto, found {execution!r}")


def rounded(execution: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes in the number format of an execution.

    In bfloat16 convolutions and matrix products round their operands to 8 significant bits and accumulate in float32;
    normalisation and sums stay float32, and so do the parameters.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=execution.startswith("bfloat16"))


@contextmanager
def executed_in(network: nn.Module, execution: str) -> Iterator[torch.autocast]:
    """Set a network's memory layout for the context, and yield the context of its number format, for each call."""
    moved = execution.endswith("channels_last")
    if moved:
        network.to(memory_format=torch.channels_last)
    try:
        yield rounded(execution, next(network.parameters()).device)
    finally:
        if moved:
            network.to(memory_format=torch.contiguous_format)


def fastest_execution(
    network: nn.Module, work: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> str:
    """Return the member of `EXECUTIONS` in which a network performs some work fastest.

    The candidates take turns, so that other load of the machine affects all of them; the least of three times counts.

    Cost: 16 times the work, such as one forward pass.
    """
    device = next(network.parameters()).device
    seconds = dict.fromkeys(EXECUTIONS, float("inf"))
    for repeat in range(_REPEATS + 1):
        for execution in EXECUTIONS:
            with executed_in(network, execution) as number_format, number_format:
                started = clock()
                work()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
            if repeat:  # the first run allocates and chooses algorithms
                seconds[execution] = min(seconds[execution], clock() - started)
    fastest = min(EXECUTIONS, key=seconds.__getitem__)
    return fastest if seconds["float32"] > _GAIN * seconds[fastest] else "float32"
