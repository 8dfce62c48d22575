# SPDX-License-Identifier: GPL-2.0-or-later
"""What QGIS 4 has elsewhere: Qt 6's names, and Processing's dialog."""

import importlib
import subprocess
import sys
import types

import pytest
from conftest import ROOT

LINT_PYTHON = ROOT / "build" / "lint" / "bin" / "python"  # `make lint` installs PyQt6 there


def qt6_names(code="import qt6_names; raise SystemExit(qt6_names.main())"):
    """Run in a Python that has PyQt6, and never in this one: QGIS has loaded another Qt."""
    python = str(LINT_PYTHON) if LINT_PYTHON.exists() else sys.executable
    ended = subprocess.run([python, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True)
    if ended.returncode == 2 or "No module named 'PyQt6'" in ended.stderr:
        pytest.skip("PyQt6 is not installed: 'make lint' installs it")
    return ended


def test_every_name_of_qt_is_qt_6s():
    ended = qt6_names()
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_names_that_qt_6_has_not_are_found():
    source = (
        "from qgis.PyQt.QtCore import Qt, QVariant\nfrom qgis.PyQt.QtWidgets import QAction, QFrame\n"
        "from PyQt5.QtGui import QColor\nQt.LeftButton\nQFrame.Shape.NoFrame\nQFrame.NoFrame\nQVariant.Int\n"
        "QVariant.Int  # Qt 5 only\nQt.ItemDataRole.UserRole\n"
    )
    ended = qt6_names(f"import PyQt6.QtCore, qt6_names; print(*qt6_names.missing({source!r}), sep='\\n')")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "2: qgis.PyQt.QtWidgets.QAction",
        "3: PyQt5.QtGui.QColor",
        "4: Qt.LeftButton",
        "6: QFrame.NoFrame",
        "7: QVariant.Int",
    ]


class Wrong(Exception):
    pass


class Extension(Exception):
    pass


class Dialog:
    pass


NEW = {
    "processing.gui.algorithm_widget": {"AlgorithmWidget": Dialog},
    "processing.core.exceptions": {"InvalidParameterValue": Wrong, "InvalidOutputExtension": Extension},
}
BASE = type("AlgorithmDialogBase", (), {"InvalidParameterValue": Wrong, "InvalidOutputExtension": Extension})
OLD = {
    "processing.gui.AlgorithmDialog": {"AlgorithmDialog": Dialog},
    "processing.gui.AlgorithmDialogBase": {"AlgorithmDialogBase": BASE},
}
BETWEEN = {
    "processing.gui.AlgorithmDialog": {"AlgorithmDialog": Dialog},
    "processing.core.exceptions": NEW["processing.core.exceptions"],
}


@pytest.mark.parametrize("modules", [NEW, OLD, BETWEEN], ids=["QGIS 4.2", "QGIS 3", "between"])
def test_dialog_and_its_errors_are_found_wherever_they_are(qgis_application, monkeypatch, modules):
    from tiledseg.tiledseg_plugin.compat import algorithm_dialog

    for name in {*NEW, *OLD}:
        monkeypatch.setitem(sys.modules, name, None)  # importing it is an ImportError
    for package in ("processing.gui", "processing.core"):
        known = importlib.import_module(package)
        for name in {*NEW, *OLD}:
            if name.startswith(package + "."):
                monkeypatch.delattr(known, name.rpartition(".")[2], raising=False)
    for name, content in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
        package, _, last = name.rpartition(".")
        monkeypatch.setattr(importlib.import_module(package), last, module, raising=False)
    assert algorithm_dialog() == (Dialog, Wrong, Extension)
