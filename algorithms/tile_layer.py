# SPDX-License-Identifier: GPL-2.0-or-later
"""The tile layer, S1Tiles, in QGIS: its fields, how it is written, and how it looks when it is loaded."""

import os
from pathlib import Path
from typing import Any, List

from qgis.core import (
    QgsFeature,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingLayerPostProcessorInterface,
    QgsVectorFileWriter,
    QgsWkbTypes,
)

from ..tiledseg_plugin.compat import FIELD_DOUBLE, FIELD_INTEGER, FIELD_LARGE_INTEGER, FIELD_TEXT
from ..tiledseg_plugin.engine.errors import SegmentationError
from ..tiledseg_plugin.engine.files.field_names import SHORT, field_names
from ..tiledseg_plugin.metadata import PLUGIN_FOLDER
from .text import tr

STATUS_LENGTH = 10
STYLE = str(PLUGIN_FOLDER / "resources" / "tiles.qml")
BEFORE_A_RUN = (
    ("tile_id", FIELD_INTEGER),
    ("col", FIELD_INTEGER),
    ("row", FIELD_INTEGER),
    ("width", FIELD_INTEGER),
    ("height", FIELD_INTEGER),
    ("valid_pixels", FIELD_LARGE_INTEGER),
    ("valid_fraction", FIELD_DOUBLE),
    ("status", FIELD_TEXT),
    ("merged_into", FIELD_INTEGER),
)
AFTER_A_RUN = (*BEFORE_A_RUN, ("segments", FIELD_LARGE_INTEGER), ("seconds", FIELD_DOUBLE))


class TileLayerOutput:
    """The tile layer as an output of an algorithm: made on the main thread, bound and written on that of the run.

    Parameters
    ----------
    algorithm : TilingAlgorithm
    name : id of the sink
    crs : QgsCoordinateReferenceSystem of the raster, may be invalid
    raster_id : id of the raster's layer, to be placed above; empty if there is none
    """

    def __init__(self, algorithm, name, crs, raster_id):
        self._algorithm = algorithm
        self._name = name
        self._crs = crs
        self._look = TileLayerLook(algorithm.id(), name, crs, raster_id)
        self._run: Any = None
        self._layer_id = None

    def bind(self, parameters, context):
        """On a pool thread the context is another one than on the main thread."""
        self._run = parameters, context

    def write(self, records, field_list):
        """Write a record a tile (`tiledseg_plugin.engine.products.tile_records.TileRecord`); gives the id of the layer.

        Parameters
        ----------
        field_list : BEFORE_A_RUN or AFTER_A_RUN
        """
        parameters, context = self._run
        names = [name for name, _ in field_list]
        destination = self._algorithm.path_asked_for(parameters, self._name, context)
        fields = QgsFields()
        for name, (_, kind) in zip(field_names(names, destination), field_list):
            fields.append(QgsField(name, kind, "", STATUS_LENGTH if kind == FIELD_TEXT else 0))
        geometries = [_geometry(record.geometry) for record in records]
        multiple = any(geometry.isMultipart() for geometry in geometries)
        sink = self._open(fields, QgsWkbTypes.Type.MultiPolygon if multiple else QgsWkbTypes.Type.Polygon)
        for record, geometry in zip(records, geometries):
            if multiple:
                geometry.convertToMultiType()
            feature = QgsFeature(fields)
            feature.setGeometry(geometry)
            feature.setAttributes([getattr(record, name) for name in names])
            if not sink.addFeature(feature, QgsFeatureSink.Flag.FastInsert):
                raise SegmentationError(
                    tr("Tile {} cannot be written to the tile layer ({}): choose another format or folder.").format(
                        record.tile_id, sink.lastError() or tr("no reason given")
                    )
                )
        sink.flushBuffer()
        del sink
        self._verify(len(records))
        return self._layer_id

    def _verify(self, count):
        """Refuse a file of a known kind that does not hold what was written, and remove what there is of it."""
        from ..tiledseg_plugin.engine.files.formats import POLYGONS
        from ..tiledseg_plugin.engine.files.output_files import layer_output, side_files
        from ..tiledseg_plugin.engine.files.verification import verify_features

        path = str(self._layer_id)
        if not os.path.isfile(path) or os.path.splitext(path)[1].lower() not in POLYGONS.drivers:
            return
        try:
            verify_features(path, count, self._name)
        except SegmentationError:
            for left in (Path(path), *(side.path for side in side_files(layer_output(self._name, path)))):
                left.unlink(missing_ok=True)
            raise

    def _open(self, fields, kind):
        parameters, context = self._run
        reason = tr("QGIS gives no reason")
        try:
            sink, self._layer_id = self._algorithm.parameterAsSink(
                parameters, self._name, context, fields, kind, self._crs
            )
        except QgsProcessingException as error:
            sink, reason = None, str(error).rstrip(".")
        if sink is None:
            raise SegmentationError(
                tr("{} cannot be written ({}): check that its disk has room and that it is not open elsewhere.").format(
                    self._name, reason
                )
            )
        if not self._crs.isValid():
            # QGIS takes a layer in memory without a CRS for one in degrees
            in_memory = context.temporaryLayerStore().mapLayer(self._layer_id)
            if in_memory is not None:
                in_memory.setCrs(self._crs)
        return sink

    def attach(self, context):
        """Have QGIS style and place the layer, if it will load it."""
        if self._layer_id is not None and context.willLoadLayerOnCompletion(self._layer_id):
            self._look.wait()
            context.layerToLoadOnCompletionDetails(self._layer_id).setPostProcessor(self._look)


def check_tile_output(name, given, raster, assign_crs=""):
    """Refuse a tile layer that QGIS would not write under its name, or whose tiles would not lie over the raster.

    Parameters
    ----------
    given : path of the layer; empty, or what is no file, is passed over
    raster : what GDAL opens
    assign_crs : WKT, empty for the raster's
    """
    from ..tiledseg_plugin.engine.files.output_files import VECTOR, layer_output
    from ..tiledseg_plugin.engine.files.vector_trial import check_place

    output = layer_output(name, given)
    if not output.path or output.kind != VECTOR:
        return
    extension = output.target.suffix[1:].lower()
    if extension not in QgsVectorFileWriter.supportedFormatExtensions():
        raise SegmentationError(
            tr("{} {} has the extension '.{}', which QGIS writes no layers to: use .gpkg.").format(
                name, given, extension
            )
        )
    driver = QgsVectorFileWriter.driverForExtension(extension)
    check_place(name, given, driver, raster, assign_crs)


def _geometry(wkb):
    geometry = QgsGeometry()
    geometry.fromWkb(wkb)
    return geometry


class TileLayerLook(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded tile layer its style and its place above the raster.

    QGIS holds no reference to it from Python, so it keeps itself until it was called (QGIS issue 47533).
    """

    _waiting: List[Any] = []

    def __init__(self, algorithm_id, output_name, crs, raster_id):
        super().__init__()
        self._output = algorithm_id, output_name
        self._crs = crs
        self._raster_id = raster_id

    def wait(self):
        """Stay until called."""
        self._waiting.append(self)

    def postProcessLayer(self, layer, context, feedback):
        if not self._crs.isValid():
            layer.setCrs(self._crs)  # a GeoPackage without one is read as in degrees
        if not self._has_style_of_the_users():
            layer.loadNamedStyle(STYLE)
            _follow_short_names(layer)
            layer.triggerRepaint()
        if context.project() is not None:
            place_above(context.project().layerTreeRoot(), layer.id(), self._raster_id)
        if self in self._waiting:
            self._waiting.remove(self)

    def _has_style_of_the_users(self):
        """Whether the user has set a rendering style for this output in Processing."""
        from processing.gui.RenderingStyles import RenderingStyles

        return RenderingStyles.getStyle(*self._output) is not None


def _follow_short_names(layer):
    """Let the map tip of the style name the fields as a Shapefile has them."""
    tip = layer.mapTipTemplate()
    for name, short in SHORT.items():
        if layer.fields().lookupField(name) < 0 <= layer.fields().lookupField(short):
            tip = tip.replace(f'"{name}"', f'"{short}"')
    layer.setMapTipTemplate(tip)


def place_above(root, layer_id, raster_id):
    """Move a layer in the layer tree to just above a raster, unless it is above it already."""
    order = [layer.id() for layer in root.layerOrder()]
    if layer_id not in order or raster_id not in order or order.index(layer_id) < order.index(raster_id):
        return
    node, raster = root.findLayer(layer_id), root.findLayer(raster_id)
    group = raster.parent()
    group.insertChildNode(group.children().index(raster), node.clone())
    node.parent().removeChildNode(node)
