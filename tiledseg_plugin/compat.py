# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place for differences between QGIS 3.22 (Qt 5) and QGIS 4 (Qt 6)."""

from qgis.core import Qgis, QgsCoordinateReferenceSystem
from qgis.PyQt.QtCore import QVariant


def is_null(value):
    """True for what QGIS hands over where the user gave nothing: None, a null QVariant (Qt 5) or empty text."""
    return value is None or value == "" or (isinstance(value, QVariant) and value.isNull())


def crs_to_wkt(crs):
    """The WKT of a QgsCoordinateReferenceSystem in the flavour GDAL prefers."""
    if hasattr(Qgis, "CrsWktVariant"):  # 3.36 and later
        return crs.toWkt(Qgis.CrsWktVariant.PreferredGdal)
    return crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED_GDAL)
