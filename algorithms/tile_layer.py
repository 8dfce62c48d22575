# SPDX-License-Identifier: GPL-2.0-or-later
"""The tile layer, S1Tiles, as an output: its fields, and how it is written."""

import os
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProperty,
    QgsVectorFileWriter,
    QgsWkbTypes,
)

from ..tiledseg_plugin.compat import FIELD_DOUBLE, FIELD_INTEGER, FIELD_LARGE_INTEGER, FIELD_TEXT
from ..tiledseg_plugin.engine.errors import SegmentationError
from ..tiledseg_plugin.engine.files.field_names import field_names
from .base import TiledAlgorithm
from .looks import TileLook
from .text import tr

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output
    from ..tiledseg_plugin.engine.products.tile_records import TileRecord

FieldList = Sequence[Tuple[str, Any]]  # name and type of each field

STATUS_LENGTH = 10
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
    algorithm : the one that is run
    name : id of the sink
    crs : that of the raster, may be invalid
    raster_id : id of the raster's layer, to be placed above; empty if there is none
    """

    def __init__(self, algorithm: TiledAlgorithm, name: str, crs: QgsCoordinateReferenceSystem, raster_id: str) -> None:
        self._algorithm = algorithm
        self.name = name
        self._crs = crs
        self._look = TileLook(algorithm.id(), name, crs, raster_id)
        self._run: Any = None  # parameters and context
        self._layer_id = ""

    def bind(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        """Remember what the run is called with; on a pool thread the context is another one than on the main thread."""
        self._run = parameters, context

    def write(self, records: Sequence["TileRecord"], field_list: FieldList) -> str:
        """Write a record a tile.

        A file is written in a staging folder and replaces an earlier one when it is complete; what is no file (a layer
        in memory, a table of a database) is written at its place.

        Parameters
        ----------
        field_list : BEFORE_A_RUN or AFTER_A_RUN

        Returns
        -------
        The id of the layer, or what it is opened from.
        """
        from ..tiledseg_plugin.engine.files.output_files import VECTOR, layer_output

        parameters, context = self._run
        output = layer_output(self.name, self._algorithm.path_asked_for(parameters, self.name, context))
        if output.kind == VECTOR and output.path:
            self._layer_id = self._publish(output, records, field_list)
        else:
            self._layer_id = self._write_at(output.path, parameters[self.name], records, field_list)
        return self._layer_id

    def _publish(self, output: "Output", records: Sequence["TileRecord"], field_list: FieldList) -> str:
        from ..tiledseg_plugin.engine.files.output_files import replaced_files
        from ..tiledseg_plugin.engine.files.publish import publishing

        parameters, context = self._run
        path = ""
        try:
            with publishing(output.path, self.name, replaced_files(output)) as path:
                layer_id = self._write_at(path, _redirected(parameters[self.name], path), records, field_list)
                self._verify(path, len(records))
        except SegmentationError as error:
            _load_from(context, path, "")
            message = str(error)
            raise SegmentationError(message.replace(path, output.path) if path else message) from error
        _load_from(context, path, output.path)
        return output.path + layer_id[len(path) :]

    def _write_at(self, path: str, destination: Any, records: Sequence["TileRecord"], field_list: FieldList) -> str:
        """Write all tiles and close the layer; returns its id.

        Parameters
        ----------
        path : of the file, for the names of its fields; may be empty
        destination : as QGIS takes it for the sink
        """
        names = [name for name, _ in field_list]
        fields = QgsFields()
        for name, (_, kind) in zip(field_names(names, path), field_list):
            fields.append(QgsField(name, kind, "", STATUS_LENGTH if kind == FIELD_TEXT else 0))
        geometries = [_geometry(record.geometry) for record in records]
        multiple = any(geometry.isMultipart() for geometry in geometries)
        kind = QgsWkbTypes.Type.MultiPolygon if multiple else QgsWkbTypes.Type.Polygon
        sink, layer_id = self._open(destination, fields, kind)
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
        del sink  # closes the file
        return layer_id

    def _verify(self, path: str, count: int) -> None:
        """Refuse a file of a known kind that does not hold what was written."""
        from ..tiledseg_plugin.engine.files.formats import POLYGONS
        from ..tiledseg_plugin.engine.files.verification import verify_features

        if os.path.splitext(path)[1].lower() in POLYGONS.drivers:
            verify_features(path, count, self.name)

    def _open(self, destination: Any, fields: QgsFields, kind: QgsWkbTypes.Type) -> Tuple[QgsFeatureSink, str]:
        """A sink, and the id of its layer."""
        parameters, context = self._run
        reason = tr("QGIS states no reason")
        sink: Optional[QgsFeatureSink] = None
        try:
            sink, layer_id = self._algorithm.parameterAsSink(
                {**parameters, self.name: destination}, self.name, context, fields, kind, self._crs
            )
        except QgsProcessingException as error:
            reason = str(error).rstrip(".")
        if sink is None:
            raise SegmentationError(
                tr("{} cannot be written ({}): check that its disk has room and that it is not open elsewhere.").format(
                    self.name, reason
                )
            )
        if not self._crs.isValid():
            # QGIS takes a layer in memory without a CRS for one in degrees
            in_memory = context.temporaryLayerStore().mapLayer(layer_id)
            if in_memory is not None:
                in_memory.setCrs(self._crs)
        return sink, layer_id

    def attach(self, context: QgsProcessingContext) -> None:
        """Have QGIS style and place the layer, if it will load it."""
        self._look.attach(context, self._layer_id)


def _redirected(destination: Any, path: str) -> Any:
    """A destination with another path; whether its layer is loaded, and under which name, stays."""
    if not isinstance(destination, QgsProcessingOutputLayerDefinition):
        return path
    redirected = QgsProcessingOutputLayerDefinition(destination)
    redirected.sink = QgsProperty.fromValue(path)
    return redirected


def _load_from(context: QgsProcessingContext, staged: str, place: str) -> None:
    """Have QGIS load from `place` what was written at `staged`, or not load it if `place` is empty."""
    layers = context.layersToLoadOnCompletion()
    if staged and any(layer_id.startswith(staged) for layer_id in layers):
        others = {layer_id: details for layer_id, details in layers.items() if not layer_id.startswith(staged)}
        moved = {place + i[len(staged) :]: details for i, details in layers.items() if i not in others}
        context.setLayersToLoadOnCompletion({**others, **(moved if place else {})})


def check_tile_output(name: str, given: str, raster: str, assign_crs: str = "") -> None:
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


def _geometry(wkb: bytes) -> QgsGeometry:
    geometry = QgsGeometry()
    geometry.fromWkb(wkb)
    return geometry
