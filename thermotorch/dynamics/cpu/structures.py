"""Structures of a call to the library, with the fields that the C++ headers in `native/` declare."""

import ctypes
import re
from functools import cache

from thermotorch.dynamics.cpu.build import SOURCES

HEADERS = {
    "Block": "couplings.h", "Run": "run.h", "Force": "run.h", "Langevin": "langevin.h", "Splitting": "splitting.h",
    "PathWeights": "weights.h", "Action": "action.h",
}  # fmt: skip
_NUMBERS = {"int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64, "double": ctypes.c_double}
_MEMBER = re.compile(r"^    (?:const )?(\w+)(\*? [\w *,]+);", re.MULTILINE)  # "const float *bias, *j2;"


@cache
def structure(name: str) -> type[ctypes.Structure]:
    """Return a C++ structure as a ctypes class, whose pointers are addresses."""
    text = (SOURCES / HEADERS[name]).read_text(encoding="utf-8")
    (body,) = re.findall(rf"^struct {name} {{\n(.*?)^}};", text, re.MULTILINE | re.DOTALL)
    members = [
        (declared.strip(" *"), ctypes.c_void_p if "*" in declared else _NUMBERS.get(kind) or structure(kind))
        for kind, declarations in _MEMBER.findall(body)
        for declared in declarations.split(",")
    ]
    return type(name, (ctypes.Structure,), {"_fields_": members})
