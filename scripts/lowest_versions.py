"""Print the lowest versions that pyproject.toml declares, its extras included, as constraints for pip:

python scripts/lowest_versions.py > lowest.txt && pip install -c lowest.txt -e '.[test]'
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def lowest_versions(project: dict) -> list[str]:
    """Return `name==version` for each requirement of the table `project` and of its extras, in alphabetical order.

    A requirement that is pinned stays as it is. ValueError for one that declares no lowest version, or two that
    declare different ones.
    """
    extras = project.get("optional-dependencies", {})
    lowest: dict[str, str] = {}
    for requirement in [*project["dependencies"], *(one for extra in extras.values() for one in extra)]:
        name = re.match(r"[\w.-]+", requirement).group()
        bound = re.search(r"[>=]=\s*([\w.+]+)", requirement.split(";")[0])
        if bound is None:
            raise ValueError(f"{requirement!r} declares no lowest version: write {name}>=VERSION")
        if lowest.setdefault(name, bound[1]) != bound[1]:
            raise ValueError(f"{name} has two lowest versions, {lowest[name]} and {bound[1]}")
    return [f"{name}=={version}" for name, version in sorted(lowest.items())]


if __name__ == "__main__":
    print(*lowest_versions(tomllib.loads(PYPROJECT.read_text())["project"]), sep="\n")
