"""A netlist read back without a simulator: the currents of its elements at given voltages, by the laws of each."""

import re


def valued(expression: str, volts: dict[str, float], amperes: dict[str, float]) -> float:
    expression = re.sub(r"\bv\((\w+)\)", lambda found: f"({volts[found[1]]!r})", expression)
    expression = re.sub(r"\bi\((\w+)\)", lambda found: f"({amperes[found[1]]!r})", expression)
    return eval(expression, {"__builtins__": {}, "abs": abs})


def currents(text: str, volts: dict[str, float], amperes: dict[str, float]) -> dict[str, float]:
    """Return the ampere that behavioural, constant and controlled sources and resistors bring to each node."""
    into: dict[str, float] = {}
    for line in text.splitlines():
        name, *words = line.split()
        if name[0] == "B":
            flow = valued(words[2].removeprefix("i="), volts, amperes)
        elif name[0] == "I" and words[3] != "0":
            flow = float(words[3])
        elif name[0] == "G":
            flow = float(words[4]) * (volts[words[2]] - volts[words[3]])
        elif name[0] == "R":
            flow = (volts[words[0]] - volts[words[1]]) / float(words[2])
        else:
            continue
        into[words[0]] = into.get(words[0], 0.0) - flow
        into[words[1]] = into.get(words[1], 0.0) + flow
    return into
