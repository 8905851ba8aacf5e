#!/usr/bin/python3
"""Creates a directory from which Neutron loads the driver when it is in PYTHONPATH: for hosts without pip, and for tests. Usage: make_site.py DIRECTORY"""

from __future__ import annotations

import pathlib
import re
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = "calico_openstack"


def field(project: str, name: str) -> str:
    """One value of pyproject.toml. (Python 3.9 has no TOML parser.)"""
    found = re.search(rf'^{re.escape(name)} = "([^"]*)"$', project, re.MULTILINE)
    if not found:
        raise SystemExit(f"{HERE}/pyproject.toml has no {name}")
    return found.group(1)


def make_site(directory: pathlib.Path) -> None:
    """Copies the package and writes the metadata by which its entry point is found."""
    project = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    version = field(project, "version")
    groups = re.findall(r'^\[project\.entry-points\."([^"]+)"\]\n((?:[\w-]+ = "[^"]+"\n)+)', project, re.MULTILINE)
    if not groups:
        raise SystemExit(f"{HERE}/pyproject.toml has no entry points")
    shutil.copytree(HERE / PACKAGE, directory / PACKAGE, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = directory / f"{PACKAGE}-{version}.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {field(project, 'name')}\nVersion: {version}\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("".join(f"[{group}]\n{entries}".replace('"', "") for group, entries in groups), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    make_site(pathlib.Path(sys.argv[1]))
