# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place for differences between QGIS 3.22 (Qt 5) and QGIS 4 (Qt 6)."""

import warnings
from typing import Any, Tuple

from qgis.core import Qgis, QgsCoordinateReferenceSystem, QgsRasterBandStats, QgsTask
from qgis.PyQt.QtCore import QMetaType, QVariant

try:
    from qgis.PyQt.QtGui import QAction as QAction  # Qt 6
except ImportError:
    from qgis.PyQt.QtWidgets import QAction as QAction  # Qt 5 only

if Qgis.QGIS_VERSION_INT >= 33800:
    FIELD_INTEGER, FIELD_LARGE_INTEGER = QMetaType.Type.Int, QMetaType.Type.LongLong
    FIELD_DOUBLE, FIELD_TEXT = QMetaType.Type.Double, QMetaType.Type.QString
else:
    FIELD_INTEGER, FIELD_LARGE_INTEGER = QVariant.Int, QVariant.LongLong  # Qt 5 only # noqa: QGS402
    FIELD_DOUBLE, FIELD_TEXT = QVariant.Double, QVariant.String  # Qt 5 only # noqa: QGS402

# QGIS reports the end of every task in its message bar unless, since 3.26, it is silent.
QUIET_TASK = QgsTask.Flag.CanCancel
if hasattr(QgsTask.Flag, "Silent"):
    QUIET_TASK = QgsTask.Flag.CanCancel | QgsTask.Flag.Silent

# what of a band's statistics to find; since 3.36 the same under another name
_STATISTIC = Qgis.RasterBandStatistic if hasattr(Qgis, "RasterBandStatistic") else QgsRasterBandStats
MAXIMUM = _STATISTIC.Max
# those that GDAL keeps in a file; for any other QGIS would read all pixels, and wait for it
KEPT_STATISTICS = _STATISTIC.Min | _STATISTIC.Max | _STATISTIC.Mean | _STATISTIC.StdDev


def band_statistics(provider: Any, band: int, statistics: Any) -> QgsRasterBandStats:
    """Those of a band of a raster data provider; `statistics` is MAXIMUM or the like.

    From 3.40 on, QGIS takes every call from Python for the one with a number, which is deprecated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return provider.bandStatistics(band, statistics)


def algorithm_dialog() -> Tuple[Any, Any, Any]:
    """The toolbox's dialog and what its panel raises: (class, InvalidParameterValue, InvalidOutputExtension).

    QGIS 4.2 has made the dialog a widget that can be docked, and moved it and its errors.
    """
    try:
        from processing.gui.algorithm_widget import AlgorithmWidget as Dialog
    except ImportError:
        from processing.gui.AlgorithmDialog import AlgorithmDialog as Dialog
    try:
        from processing.core.exceptions import InvalidOutputExtension, InvalidParameterValue
    except ImportError:
        from processing.gui.AlgorithmDialogBase import AlgorithmDialogBase as Base

        return Dialog, Base.InvalidParameterValue, Base.InvalidOutputExtension
    return Dialog, InvalidParameterValue, InvalidOutputExtension


def is_null(value: Any) -> bool:
    """True for what QGIS hands over where the user gave nothing: None, a null QVariant (Qt 5) or empty text."""
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, QVariant) and value.isNull())


def crs_to_wkt(crs: QgsCoordinateReferenceSystem) -> str:
    """The WKT of a QgsCoordinateReferenceSystem in the flavour GDAL prefers."""
    if hasattr(Qgis, "CrsWktVariant"):  # 3.36 and later
        return crs.toWkt(Qgis.CrsWktVariant.PreferredGdal)
    return crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED_GDAL)
