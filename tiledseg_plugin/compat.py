# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place for differences between QGIS 3.22 (Qt 5) and QGIS 4 (Qt 6)."""

from qgis.core import Qgis, QgsCoordinateReferenceSystem, QgsTask
from qgis.PyQt.QtCore import QMetaType, QVariant

if Qgis.QGIS_VERSION_INT >= 33800:
    FIELD_INTEGER, FIELD_LARGE_INTEGER = QMetaType.Type.Int, QMetaType.Type.LongLong
    FIELD_DOUBLE, FIELD_TEXT = QMetaType.Type.Double, QMetaType.Type.QString
else:
    FIELD_INTEGER, FIELD_LARGE_INTEGER = QVariant.Int, QVariant.LongLong
    FIELD_DOUBLE, FIELD_TEXT = QVariant.Double, QVariant.String

# QGIS tells of the end of every task in its message bar unless, since 3.26, it is silent.
QUIET_TASK = QgsTask.Flag.CanCancel
if hasattr(QgsTask.Flag, "Silent"):
    QUIET_TASK = QgsTask.Flag.CanCancel | QgsTask.Flag.Silent


def is_null(value):
    """True for what QGIS hands over where the user gave nothing: None, a null QVariant (Qt 5) or empty text."""
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, QVariant) and value.isNull())


def crs_to_wkt(crs):
    """The WKT of a QgsCoordinateReferenceSystem in the flavour GDAL prefers."""
    if hasattr(Qgis, "CrsWktVariant"):  # 3.36 and later
        return crs.toWkt(Qgis.CrsWktVariant.PreferredGdal)
    return crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED_GDAL)
