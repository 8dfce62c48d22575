# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that people read: their translation, and the help of a parameter with its default and range."""

from qgis.core import (
    QgsApplication,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
)
from qgis.PyQt.QtCore import QCoreApplication, QThread
from qgis.PyQt.QtGui import QPalette

NO_LIMIT = 2**31 - 1  # QGIS's limits of a number without limits are this or beyond


def tr(text: str) -> str:
    """Translate a literal; the context is fixed so that translations survive moving code about."""
    return QCoreApplication.translate("TiledSegmentation", text)


def in_colour_of_text(html: str) -> str:
    """Help in the colour that the theme has for text: the dialog's own grey is made for bright themes only."""
    if QgsApplication.platform() != "desktop" or QThread.currentThread() != QgsApplication.instance().thread():
        return html
    from qgis.PyQt.QtWidgets import QTextBrowser

    like_the_dialogs = QTextBrowser()
    like_the_dialogs.ensurePolished()  # themes are style sheets, which the application's palette knows nothing of
    colour = like_the_dialogs.palette().color(QPalette.ColorRole.Text)
    return f'<div style="color:{colour.name()}">{html}</div>'


def facts(definition: QgsProcessingParameterDefinition) -> str:
    """Default and range of a parameter; `qgis_process help` of QGIS 3.22 prints neither."""
    default = definition.defaultValue()
    if isinstance(definition, QgsProcessingParameterBoolean):
        return tr("Default: {}.").format(tr("true") if default else tr("false"))
    if isinstance(definition, QgsProcessingParameterEnum):
        return tr("One of: {}. Default: {}.").format(", ".join(definition.options()), default)
    if isinstance(definition, QgsProcessingParameterNumber):
        return tr("Default: {:g}.").format(default) + " " + _range(definition)
    if definition.isDestination():
        return ""
    if isinstance(default, str) and default:
        return tr("Default: {}.").format(default)
    if definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional:
        return tr("Default: empty.")
    return ""


def _range(definition: QgsProcessingParameterDefinition) -> str:
    least, most = definition.minimum(), definition.maximum()
    if most >= NO_LIMIT:
        if definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional:
            return tr("Range: above {:g}.").format(least)
        return tr("Range: {:g} or more.").format(least)
    return tr("Range: {:g} to {:.6g}.").format(least, most)


def parameter_help(text: str, definition: QgsProcessingParameterDefinition) -> str:
    """The help of one parameter: what it means, then default and range."""
    return f"{text} {facts(definition)}".strip()
