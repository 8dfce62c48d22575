# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolves every name of Qt that the plugin, its tests and scripts use against PyQt6, which QGIS 4 has.

Prints those that are not there: enumerations without their scope, what has moved to another module, what is gone.

A line that ends in `# Qt 5 only` is left out. Exit status 1 if there are any, 2 if PyQt6 is not installed.
"""

import ast
import importlib
import re
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tiledseg_plugin", "algorithms", "tests", "scripts")
QT5 = re.compile(r"# Qt 5 only\b")


def sources() -> List[Path]:
    """All Python files that may use Qt."""
    return [ROOT / "__init__.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]


def missing(source: str) -> Iterator[str]:
    """What of a file's text PyQt6 does not have, as `line: name`."""
    tree, lines = ast.parse(source), source.splitlines()
    imported: Dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("qgis.PyQt", "PyQt5")):
            for alias in node.names:
                found = _imported(node.module or "", alias.name)
                if found is not None:
                    imported[alias.asname or alias.name] = found
                elif not QT5.search(lines[node.lineno - 1]):
                    yield f"{node.lineno}: {node.module}.{alias.name}"
    for node in ast.walk(tree):
        chain = _chain(node)
        if chain and chain[0] in imported and not QT5.search(lines[node.lineno - 1]):  # type: ignore[attr-defined]
            value = imported[chain[0]]
            for name in chain[1:]:
                if not hasattr(value, name):
                    yield f"{node.lineno}: {'.'.join(chain)}"  # type: ignore[attr-defined]
                    break
                value = getattr(value, name)


def _imported(module: str, name: str) -> Optional[object]:
    if module.startswith("PyQt5"):
        return None
    try:
        return getattr(importlib.import_module(module.replace("qgis.PyQt", "PyQt6")), name, None) or (
            importlib.import_module(f"{module.replace('qgis.PyQt', 'PyQt6')}.{name}")
        )
    except ImportError:
        return None


def _chain(node: ast.AST) -> List[str]:
    """`a.b.c` as its names; empty for anything else. Longer chains that begin alike are looked at by themselves."""
    names: List[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if names and isinstance(node, ast.Name) else []


def main() -> int:
    """Print what is missing."""
    try:
        import PyQt6.QtCore  # noqa: F401
    except ImportError as error:
        print(f"PyQt6 is not installed ({error}): pip install PyQt6.", file=sys.stderr)
        return 2
    found = [f"{path.relative_to(ROOT)}:{name}" for path in sources() for name in missing(path.read_text("utf-8"))]
    print("\n".join(found) or f"All names of Qt in {len(sources())} files are PyQt6's, too.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
