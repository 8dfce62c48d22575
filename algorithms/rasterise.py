# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:rasterise`: a column of a table of segments as a raster. The ids in here are published and never change."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
)

from ..tiledseg_plugin.engine.progress import Feedback
from .inputs import TableParameter, columns_of_layer, table_source
from .looks_by_value import show_column
from .segments import SegmentsAlgorithm
from .text import tr
from .values import WordParameter

if TYPE_CHECKING:
    from ..tiledseg_plugin.engine.files.output_files import Output

DATA_TYPES = ["auto", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]


class ColumnToRaster(SegmentsAlgorithm):
    """Parameters in, one call of the engine, a raster out."""

    COLUMN = "COLUMN"
    TABLE = "TABLE"
    ID_FIELD = "ID_FIELD"
    DATA_TYPE = "DATA_TYPE"
    NODATA = "NODATA"
    WITHOUT_VALUE = "WITHOUT_VALUE"
    CLASS_COUNT = "CLASS_COUNT"
    CHECKED_HERE = (SegmentsAlgorithm.SEGMENTS, TABLE)
    STYLE = staticmethod(show_column)

    def name(self) -> str:
        return "rasterise"

    def displayName(self) -> str:
        return tr("Column to raster")

    def shortDescription(self) -> str:
        return tr("A raster in which every pixel has the value that a column of a table holds for its segment.")

    def tags(self) -> List[str]:
        return tr("segments,rasterize,column,attribute table,join,reclassify,classes,categories,GEOBIA,OBIA").split(",")

    def description(self) -> Tuple[str, ...]:
        return (
            tr(
                "Makes a raster on the segments' grid in which every pixel has the value of its segment, in the units "
                "of the column. The column is one of the segments' attribute table, or of any other table with their "
                "numbers, such as those that 'Segment statistics' and 'Segments to polygons' write."
            ),
            tr(
                "Numbers stay numbers. A column of texts becomes classes: their numbers go from 1 on in the order of "
                "the texts, and the raster has their names and colours. Segments without a value are no data."
            ),
        )

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self._add_segments()
        self.add(
            QgsProcessingParameterString(self.COLUMN, tr("Column"), "mean_1"),
            tr("Name of the column, of numbers or of texts. If there is none, the message lists those that there are."),
        )
        self.add(
            TableParameter(self.TABLE, tr("Table")),
            tr(
                "Table or layer with the column and the segments' numbers: .gpkg, .csv, .parquet, .dbf, .shp and the "
                "like; one row a segment. Empty: the attribute table of the segments."
            ),
        )
        self.add(
            QgsProcessingParameterField(
                self.ID_FIELD,
                tr("Field with the segments' numbers"),
                "segment",
                self.TABLE,
                QgsProcessingParameterField.DataType.Any,
                False,
                True,
            ),
            tr("Field of the table by which it is joined to the segments. Default: segment."),
        )
        self._add_kind_of_values()
        self.add(
            QgsProcessingParameterRasterDestination(self.OUTPUT, tr("Raster of the column")),
            tr("Raster: .tif (.cog.tif: cloud optimized), .img, or .kea where GDAL has it."),
        )
        self._add_count()
        self.addOutput(QgsProcessingOutputNumber(self.WITHOUT_VALUE, tr("Number of segments without a value")))
        self.addOutput(QgsProcessingOutputNumber(self.CLASS_COUNT, tr("Number of classes")))

    def _add_kind_of_values(self) -> None:
        self.add(
            QgsProcessingParameterEnum(
                self.DATA_TYPE,
                tr("Data type"),
                options=DATA_TYPES,
                defaultValue="auto",
                optional=True,
                usesStaticStrings=True,
            ),
            tr(
                "Type of the raster. auto: int32 for a column of whole numbers (uint32 or float64 beyond), float32 for "
                "others (float64 beyond 16777216), uint8 or uint16 for classes."
            ),
            advanced=True,
        )
        self.add(
            WordParameter(self.NODATA, tr("No data value"), optional=True),
            tr(
                "A number that no segment has. Empty: NaN for types with a fraction, the least number of signed types, "
                "0 of unsigned ones (or their largest, where 0 is a value)."
            ),
            advanced=True,
        )

    def output_of(self, name: str, path: str, called: str) -> "Output":
        from ..tiledseg_plugin.engine.files.formats import format_of
        from ..tiledseg_plugin.engine.files.output_files import IMAGE, Output

        if path:
            format_of(path, called)
        return Output(called, path, IMAGE)

    def run_of(self, parameters: Dict[str, Any], context: QgsProcessingContext, output: str) -> Any:
        from ..tiledseg_plugin.engine.products.segment_columns import RasteriseParameters, check_rasterise

        given = self.raw(parameters, self.TABLE, context)
        table = table_source(given, context)
        run = RasteriseParameters(
            segments=self.raster_source(parameters, self.SEGMENTS, context),
            column=self.value(parameters, self.COLUMN, context) or "",
            output=output,
            table=table or "",
            id_field=self.value(parameters, self.ID_FIELD, context) or "",
            data_type=self.value(parameters, self.DATA_TYPE, context) or "auto",
            nodata=self.value(parameters, self.NODATA, context) or "",
        )
        check_rasterise(run, None if table is not None else columns_of_layer(given, context))
        return run

    def collect(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Any:
        if table_source(self.raw(parameters, self.TABLE, context), context) is None:
            path, layer = self.parameterAsCompatibleSourceLayerPathAndLayerName(
                parameters, self.TABLE, context, ["gpkg"], "gpkg", QgsProcessingFeedback()
            )
            parameters = {**parameters, self.TABLE: f"{path}|layername={layer}" if layer else path}
        return super().collect(parameters, context)

    def make(self, run: Any, feedback: Feedback) -> Any:
        from ..tiledseg_plugin.engine.products.segment_columns import rasterise_column

        return rasterise_column(run, feedback)

    def work(self, values: Any, feedback: Feedback) -> Dict[str, Any]:
        result = self.make(values, feedback)
        return {
            self.OUTPUT: values.output,
            self.SEGMENT_COUNT: result.segment_count,
            self.WITHOUT_VALUE: result.without_value,
            self.CLASS_COUNT: result.class_count,
        }
