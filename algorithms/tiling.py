# SPDX-License-Identifier: GPL-2.0-or-later
"""The raster and its tiles: what `tiledseg:segment` and `tiledseg:preflight` ask for alike. The ids never change."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeatureRequest,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterNumber,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsWkbTypes,
)

from ..tiledseg_plugin.compat import crs_to_wkt, is_null
from ..tiledseg_plugin.engine.errors import SegmentationError
from ..tiledseg_plugin.engine.parameters import NODATA_RULES, ZONES_OUTSIDE, PreflightParameters, SegmentParameters
from .base import TiledAlgorithm
from .inputs import RasterParameter, layer_source, raster_layer
from .text import NO_LIMIT, tr
from .tile_layer import FieldList, TileLayerOutput
from .values import WordParameter, shown
from .zones import ZonesParameter, check_layer, in_memory, zones_path, zones_without_file

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.products.tile_records import TileRecord

INTEGER = QgsProcessingParameterNumber.Type.Integer
DOUBLE = QgsProcessingParameterNumber.Type.Double
Run = TypeVar("Run", SegmentParameters, PreflightParameters)
Scheme = Tuple[List[bytes], str, str]  # polygons as WKB, the WKT of their CRS and of the raster's
DEFAULTS = {field.name: field.default for field in fields(SegmentParameters)}


class Numbers(NamedTuple):
    """What a number may be."""

    least: float = 1
    most: float = NO_LIMIT
    kind: Any = INTEGER


class TilingAlgorithm(TiledAlgorithm):
    """An algorithm on a raster and its tiles."""

    INPUT = "INPUT"
    BANDS = "BANDS"
    NODATA = "NODATA"
    NODATA_RULE = "NODATA_RULE"
    EXTENT = "EXTENT"
    ZONES = "ZONES"
    ZONES_OUTSIDE = "ZONES_OUTSIDE"
    TILE_WIDTH = "TILE_WIDTH"
    TILE_HEIGHT = "TILE_HEIGHT"
    TILES = "TILES"
    VALID_DATA_THRESHOLD = "VALID_DATA_THRESHOLD"
    WORKERS = "WORKERS"
    TILE_COUNT = "TILE_COUNT"
    EMPTY_TILES = "EMPTY_TILES"
    SPARSE_TILES = "SPARSE_TILES"
    CHECKED_HERE = (INPUT, EXTENT, ZONES)

    _tile_layer: Optional[TileLayerOutput] = None

    def group(self) -> str:
        return tr("Segmentation")

    def groupId(self) -> str:
        return "segmentation"

    def _add_raster(self, label: str) -> None:
        self.add(
            RasterParameter(self.INPUT, label),
            tr("Any raster that GDAL opens, of any numeric type and number of bands."),
        )
        self.add(
            QgsProcessingParameterBand(
                self.BANDS,
                tr("Bands"),
                parentLayerParameterName=self.INPUT,
                optional=True,
                allowMultiple=True,
            ),
            tr(
                "Numbers of the bands to use, as text separated by semicolons (1;3). Empty: all bands but alpha, which "
                "is the mask of the others (0 is no data) unless it is named here."
            ),
        )

    def _add_extent(self) -> None:
        self.add(
            QgsProcessingParameterExtent(self.EXTENT, tr("A part only"), optional=True),
            tr(
                "Use only the part of the raster that lies in this extent, in any coordinate reference system; the "
                "result is that of the raster cut to it. Each edge goes to the nearest edge of a pixel. As text: "
                "xmin,xmax,ymin,ymax [EPSG:code]. Empty: the whole raster."
            ),
        )

    def _add_zones(self) -> None:
        kinds = QgsProcessing.SourceType
        self.add(
            ZonesParameter(
                self.ZONES,
                tr("Zones"),
                optional=True,
                types=[kinds.TypeVectorPolygon, kinds.TypeVectorLine, kinds.TypeRaster],
            ),
            tr(
                "No segment crosses the border of a zone: a layer of polygons (parcels, an older map), or of lines "
                "(roads), which part the pixels on either side, in any coordinate reference system; or a raster of "
                "classes, of which the first band counts. A pixel is in the polygon that its centre is in, of several "
                "in the last one of the layer; of a raster on another grid, in the class that its centre is in. The "
                "table gets a column zone, the feature's id or the class. Empty: none."
            ),
        )
        self._add_choice(
            self.ZONES_OUTSIDE,
            tr("Pixels in no zone"),
            tr(
                "'segment': what lies in no polygon or class is segmented, too, as a zone of its own; 'exclude': it is "
                "no data. Of lines nothing lies outside."
            ),
            ZONES_OUTSIDE,
            optional=True,  # models that were saved before it was there have no value for it
        )

    def _add_nodata(self) -> None:
        self.add(
            WordParameter(self.NODATA, tr("No data instead of what the raster declares"), optional=True),
            tr(
                "A number that is no data in every band, instead of the values that the raster declares (or of 0 where "
                "it declares none); masks and alpha still count. 'none': every pixel is data, whatever the raster "
                "declares, masks and alpha included. NaN and infinity never are. Unit: the values as they are stored, "
                "without scale and offset. Empty: what the raster declares."
            ),
            advanced=True,
        )
        self._add_choice(
            self.NODATA_RULE,
            tr("A pixel is no data if any or all bands say so"),
            tr("'any': one selected band without data is enough; 'all': only if all selected bands have none."),
            NODATA_RULES,
        )

    def _add_tiles(self) -> None:
        text = tr(
            "The greatest size; tiles are made all alike, so that none is a sliver. It changes speed and memory, never "
            "the result. Unit: pixels."
        )
        self._add_number(self.TILE_WIDTH, tr("Tile width [pixels]"), text, Numbers(16))
        self._add_number(self.TILE_HEIGHT, tr("Tile height [pixels]"), text, Numbers(16))
        self.add_polygon_layer(
            self.TILES,
            tr("Tiles of your own"),
            tr(
                "A polygon layer, in any coordinate reference system, whose polygons' extents are the tiles, such as a "
                "national tile grid; they are snapped to the raster's pixels. Tiles may differ in size. Pixels in no "
                "polygon are not segmented; where polygons overlap, pixels go to the first (by the field tile_id if "
                "there is one). Tile width and height are then not used. Empty: a grid of that width and height."
            ),
        )
        self._add_number(
            self.VALID_DATA_THRESHOLD,
            tr("Valid data threshold"),
            tr(
                "A tile with a smaller fraction of valid pixels is processed together with a neighbour; the result is "
                "not changed by it. Unit: fraction of the tile's pixels."
            ),
            Numbers(0, 1, DOUBLE),
        )

    def _tile_counts(self) -> Tuple[Tuple[str, str], ...]:
        return (
            (self.TILE_COUNT, tr("Number of tiles")),
            (self.EMPTY_TILES, tr("Number of tiles without valid pixels")),
            (self.SPARSE_TILES, tr("Number of tiles under the valid data threshold")),
        )

    def _add_workers(self) -> None:
        self._add_number(
            self.WORKERS,
            tr("Workers"),
            tr("How many tiles are processed at a time. 0: as many as the cores and the memory of the machine allow."),
            Numbers(0),
            advanced=True,
        )

    def _add_number(
        self,
        name: str,
        label: str,
        text: str,
        numbers: Numbers = Numbers(),  # noqa: B008  # it cannot be changed
        optional: bool = False,
        advanced: bool = False,
    ) -> None:
        definition = QgsProcessingParameterNumber(
            name,
            label,
            type=numbers.kind,
            defaultValue=DEFAULTS[name.lower()],
            optional=optional,
            minValue=numbers.least,
            maxValue=numbers.most,
        )
        self.add(definition, text, advanced)

    def _add_switch(self, name: str, label: str, text: str, advanced: bool = False) -> None:
        self.add(QgsProcessingParameterBoolean(name, label, defaultValue=DEFAULTS[name.lower()]), text, advanced)

    def _add_choice(self, name: str, label: str, text: str, options: Sequence[str], optional: bool = False) -> None:
        definition = QgsProcessingParameterEnum(
            name,
            label,
            options=list(options),
            defaultValue=DEFAULTS[name.lower()],
            optional=optional,
            usesStaticStrings=True,
        )
        self.add(definition, text, advanced=True)

    def _tiling_parameters(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Dict[str, Any]:
        """What both algorithms hand to the engine, without the polygons of TILES, which take a while to read."""
        names = (
            self.NODATA_RULE,
            self.TILE_WIDTH,
            self.TILE_HEIGHT,
            self.VALID_DATA_THRESHOLD,
            self.WORKERS,
        )
        return {
            "input": self.raster_source(parameters, self.INPUT, context),
            "bands": self.value(parameters, self.BANDS, context) or (),
            **{name.lower(): self.value(parameters, name, context) for name in names},
            "nodata": self.value(parameters, self.NODATA, context) or "",
            "extent": self._extent(parameters, context),
            "zones": self._zones(parameters, context),
            "zones_outside": self.value(parameters, self.ZONES_OUTSIDE, context) or DEFAULTS["zones_outside"],
            "tiles_source": layer_source(self.raw(parameters, self.TILES, context), context),
        }

    def _zones(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        """ZONES as the engine opens it, once it has been looked at; empty where it is not given or has no file."""
        from ..tiledseg_plugin.engine.stages.zone_source import check_zones

        given = self.value(parameters, self.ZONES, context)
        path = zones_path(given, context)
        without_file = zones_without_file(given, context)
        if path:
            check_zones(path)
        elif without_file is not None:
            check_layer(without_file)
        return path

    def _with_zones(self, run: Run, parameters: Dict[str, Any], context: QgsProcessingContext) -> Run:
        """The engine's parameters with a copy of a layer of ZONES that has no file."""
        layer = zones_without_file(self.value(parameters, self.ZONES, context), context)
        return run if layer is None else replace(run, zones=in_memory(layer))

    def _extent(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Tuple[int, ...]:
        """EXTENT in the raster's pixels, (col, row, width, height); empty where it is not given."""
        from ..tiledseg_plugin.engine.stages.polygon_tiles import window_of_extent

        given = self.value(parameters, self.EXTENT, context)
        if is_null(given) or (isinstance(given, (QgsRectangle, QgsReferencedRectangle)) and given.isNull()):
            return ()
        rectangle = self.parameterAsExtent(parameters, self.EXTENT, context)
        if rectangle.isNull():
            raise SegmentationError(
                tr("{} is '{}', which is not an extent: give xmin,xmax,ymin,ymax [EPSG:code], or a layer.").format(
                    self.EXTENT, shown(given)
                )
            )
        systems = self.parameterAsExtentCrs(parameters, self.EXTENT, context), self._raster_crs(parameters, context)
        crs, raster_crs = (crs_to_wkt(system) if system.isValid() else "" for system in systems)
        edges = rectangle.xMinimum(), rectangle.yMinimum(), rectangle.xMaximum(), rectangle.yMaximum()
        return tuple(window_of_extent(self.raster_source(parameters, self.INPUT, context), edges, crs, raster_crs))

    def _raster_crs(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> QgsCoordinateReferenceSystem:
        """The coordinate reference system in which QGIS shows INPUT; the user may have set it."""
        layer = raster_layer(self, parameters, self.INPUT, context)
        if layer is not None:
            return layer.crs()
        from ..tiledseg_plugin.engine.files.gdal_access import open_raster
        from ..tiledseg_plugin.engine.files.georeference import spatial_reference

        found = spatial_reference(open_raster(self.raster_source(parameters, self.INPUT, context)))
        return (
            QgsCoordinateReferenceSystem()
            if found is None
            else QgsCoordinateReferenceSystem.fromWkt(found.ExportToWkt())
        )

    def _tile_output(
        self, name: str, parameters: Dict[str, Any], context: QgsProcessingContext, crs: QgsCoordinateReferenceSystem
    ) -> TileLayerOutput:
        layer = raster_layer(self, parameters, self.INPUT, context)
        return TileLayerOutput(self, name, crs, "" if layer is None else layer.id())

    def _write_tiles(self, records: Sequence["TileRecord"], field_list: FieldList) -> Dict[str, str]:
        """The tile layer as a part of the results, {id of the sink: layer}; empty if none is asked for."""
        return {} if self._tile_layer is None else {self._tile_layer.name: self._tile_layer.write(records, field_list)}

    def processAlgorithm(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Dict[str, Any]:
        if self._tile_layer is not None:
            self._tile_layer.bind(parameters, context)
        return super().processAlgorithm(parameters, context, feedback)

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> Dict[str, Any]:
        super().postProcessAlgorithm(context, feedback)
        if self._tile_layer is not None:
            self._tile_layer.attach(context)
        return {}

    def _polygon_source(
        self, name: str, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Optional[QgsProcessingFeatureSource]:
        """A parameter as a source of polygons; None where it is not given."""
        given = self.raw(parameters, name, context)
        if is_null(given):
            return None
        try:
            source = self.parameterAsSource(parameters, name, context)
        except QgsProcessingException:
            source = None
        if source is None:
            raise SegmentationError(
                tr("{} '{}' cannot be opened as a vector layer: check that it exists and can be read.").format(
                    name, given if isinstance(given, str) else ""
                )
            )
        kind = QgsWkbTypes.geometryType(source.wkbType())
        if kind != QgsWkbTypes.GeometryType.PolygonGeometry:
            raise SegmentationError(
                tr("{} '{}' is not a polygon layer but holds {}: choose a polygon layer.").format(
                    name, source.sourceName(), QgsWkbTypes.geometryDisplayString(kind).lower()
                )
            )
        if source.featureCount() == 0:
            raise SegmentationError(
                tr("{} '{}' has no polygons: choose another layer, or leave it empty.").format(
                    name, source.sourceName()
                )
            )
        return source

    def _scheme(self, parameters: Dict[str, Any], context: QgsProcessingContext, name: str = TILES) -> Optional[Scheme]:
        """The polygons of TILES, or of another parameter; None where it is not given."""
        source = self._polygon_source(name, parameters, context)
        if source is None:
            return None
        request = QgsFeatureRequest()
        field = source.fields().lookupField("tile_id")
        if field >= 0 and source.fields().at(field).isNumeric():
            request.addOrderBy('"tile_id"')
        else:
            request.setNoAttributes()
        features = source.getFeatures(request, QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks)
        polygons = [bytes(feature.geometry().asWkb()) for feature in features]
        crs = source.sourceCrs()
        raster_crs = self._raster_crs(parameters, context)
        crs_wkt, raster_wkt = (crs_to_wkt(system) if system.isValid() else "" for system in (crs, raster_crs))
        return polygons, crs_wkt, raster_wkt

    def _with_tiles(self, run: Run, scheme: Optional[Scheme]) -> Run:
        """The engine's parameters with the polygons of TILES; not before the run, where QGIS drops what is wrong."""
        from ..tiledseg_plugin.engine.stages.polygon_tiles import rectangles_of

        return run if scheme is None else replace(run, tiles=rectangles_of(run.input, *scheme))
