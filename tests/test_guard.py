# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing of the user's is lost: no output is a file of an input, of another output, or of somebody else's making."""

import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr, osr
from rasters import UTM, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import dataset_files
from tiledseg.tiledseg_plugin.engine.files.dataset_files import Dataset, FileSet, paths_in
from tiledseg.tiledseg_plugin.engine.files.output_files import (
    IMAGE,
    SEGMENTS,
    VECTOR,
    Output,
    check_files,
    is_attribute_table,
    names_of,
    replaced_files,
)
from tiledseg.tiledseg_plugin.engine.files.tables import Column, write_table
from tiledseg.tiledseg_plugin.engine.files.vector_trial import MOST_COLUMNS, check_columns, check_place
from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters, SegmentParameters
from tiledseg.tiledseg_plugin.engine.preflight import preflight
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback
from tiledseg.tiledseg_plugin.engine.segmentation import segment

SIZE = 48


def values(bands=3):
    rng = np.random.default_rng(4)
    return np.kron(rng.integers(1, 200, (bands, 6, 6)), np.ones((8, 8), int)).astype(np.uint16)


def ids():
    return (np.arange(36, dtype=np.uint32).reshape(6, 6) // 6 + 1).repeat(8, 0).repeat(8, 1)[None]


def contents(folder):
    """{name: hash} of all files below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def write_tiles(path, driver="GPKG"):
    reference = osr.SpatialReference()
    reference.SetFromUserInput(UTM)
    dataset = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    layer = dataset.CreateLayer(Path(path).stem, reference, ogr.wkbPolygon)
    feature = ogr.Feature(layer.GetLayerDefn())
    box = "POLYGON((500000 6000000,500480 6000000,500480 5999520,500000 5999520,500000 6000000))"
    feature.SetGeometry(ogr.CreateGeometryFromWkt(box))
    layer.CreateFeature(feature)
    del feature, layer, dataset
    return str(path)


def write_vrt(path, *sources, relative=False):
    listed = "".join(
        f'<VRTRasterBand dataType="UInt32" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{int(relative)}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{SIZE}" ySize="{SIZE}"/><DstRect xOff="0" yOff="0" xSize="{SIZE}" '
        f'ySize="{SIZE}"/></SimpleSource></VRTRasterBand>'
        for band, source in enumerate(sources, 1)
    )
    where = "<GeoTransform>500000, 10, 0, 6000000, 0, -10</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}">{where}{listed}</VRTDataset>')
    return str(path)


# What an input may be, and which of its files an output is aimed at: (input, files that are aimed at).


def plain(folder, array, name):
    path = write_raster(folder / f"{name}.tif", array)
    return path, [path]


def imagine(folder, array, name):
    path = write_raster(folder / f"{name}.img", array, driver="HFA")
    return path, [path]


def geopackage(folder, array, name):
    path = str(folder / f"{name}.gpkg")
    source = write_raster(folder / "source.tif", np.clip(array, 0, 255).astype(np.uint8)[:1])
    gdal.Translate(path, source, format="GPKG", creationOptions=["RASTER_TABLE=r"])
    return f"GPKG:{path}:r", [path]


def mosaic(folder, array, name):
    sources = [
        write_raster(folder / f"{name}{index}{end}", band[None])
        for index, (band, end) in enumerate(zip(array, (".tif", ".tiff", ".TIF")))
    ]
    return write_vrt(folder / f"{name}.vrt", *map(os.path.basename, sources), relative=True), sources


def mosaic_of_mosaics(folder, array, name):
    (folder / "deep").mkdir()
    inner, sources = mosaic(folder / "deep", array, name)
    missing = str(folder / "missing.tif")
    return write_vrt(folder / f"{name}.vrt", inner, missing), [*sources, missing]


def linked(folder, array, name):
    path = write_raster(folder / f"{name}.tif", array)
    os.link(path, folder / "hard.tif")
    os.symlink(path, folder / "soft.tif")
    return str(folder / "soft.tif"), [path, str(folder / "hard.tif"), str(folder / "soft.tif")]


def zipped(folder, array, name):
    write_raster(folder / "source.tif", array)
    with zipfile.ZipFile(folder / f"{name}.tif", "w") as archive:
        archive.write(folder / "source.tif", "inside.tif")
    return f"/vsizip/{{{folder / f'{name}.tif'}}}/inside.tif", [str(folder / f"{name}.tif")]


RASTERS = (plain, imagine, geopackage, mosaic, mosaic_of_mosaics, linked, zipped)
ENDS = {"raster": (".tif", ".tiff", ".img"), "vector": (".gpkg", ".shp", ".csv")}


def aimed_at(path, kind):
    """A name by which an output of that kind would harm a file; None if there is none."""
    stem, end = os.path.splitext(path)
    return path if end.lower() in ENDS[kind] else None


def engine_runs(folder, given):
    """{(operation, output): function of a path that runs it}: every output of every operation of the engine."""
    raster, segments, tiles = given["INPUT"], given["SEGMENTS"], given["TILES"]
    spare = str(folder / "spare.tif")

    def run(parameters, work):
        return lambda path, name: work(replace(parameters, **{name.lower(): path}), Feedback())

    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    calm = {"execution": "serial", "kernels": "plain"}
    operations = {
        "segment": run(SegmentParameters(raster, spare, tiles_source=tiles, **quick), segment),
        "preflight": run(PreflightParameters(raster, tiles_source=tiles), preflight),
        "statistics": run(StatisticsParameters(segments, given["VALUES"], **calm), segment_statistics),
        "meanimage": run(MeanImageParameters(segments, given["VALUES"], "", **calm), segment_mean_image),
        "polygons": run(PolygonsParameters(segments, "", given["VALUES"], **calm), segment_polygons),
    }
    outputs = {
        "segment": {"OUTPUT": "raster", "MEAN_IMAGE": "raster", "POLYGONS": "vector", "S1TILES": "vector"},
        "preflight": {"OUTPUT": "vector"},
        "statistics": {"OUTPUT": "vector"},
        "meanimage": {"OUTPUT": "raster"},
        "polygons": {"OUTPUT": "vector"},
    }
    return {
        (operation, name): (kind, operations[operation])
        for operation, names in outputs.items()
        for name, kind in names.items()
    }


INPUTS_OF = {
    "segment": ("INPUT", "TILES"),
    "preflight": ("INPUT", "TILES"),
    "statistics": ("SEGMENTS", "VALUES"),
    "meanimage": ("SEGMENTS", "VALUES"),
    "polygons": ("SEGMENTS", "VALUES"),
}


def inputs_in(folder, name, make):
    """All inputs, of which that of one name is made in a way of its own, with its files."""
    folder.mkdir()
    given = {
        "INPUT": write_raster(folder / "input.tif", values()),
        "VALUES": write_raster(folder / "values.tif", values()),
        "SEGMENTS": write_raster(folder / "segments.tif", ids(), 0),
        "TILES": write_tiles(folder / "tiles.gpkg"),
    }
    own = folder / "own"
    own.mkdir()
    if name == "TILES":
        given[name] = write_tiles(own / "mine.gpkg") + "|layername=mine"
        return given, [str(own / "mine.gpkg")]
    given[name], files = make(own, np.repeat(ids(), 3, 0) if name == "SEGMENTS" else values(), "mine")
    return given, files


@pytest.mark.parametrize("make", RASTERS)
@pytest.mark.parametrize("name", ["INPUT", "VALUES", "SEGMENTS", "TILES"])
def test_the_engine_refuses_every_output_that_is_a_file_of_an_input(tmp_path, name, make):
    if name == "TILES" and make is not plain:
        pytest.skip("a vector layer")
    given, files = inputs_in(tmp_path / "all", name, make)
    tried = 0
    for (operation, output), (kind, run) in engine_runs(tmp_path / "all", given).items():
        for path in (aimed_at(file, kind) for file in files if name in INPUTS_OF[operation]):
            if path is None:
                continue
            before = contents(tmp_path)
            with pytest.raises(SegmentationError, match=name) as raised:
                run(path, output)
            assert output in str(raised.value) and "choose another name" in str(raised.value)
            assert contents(tmp_path) == before
            tried += 1
    assert tried


@pytest.mark.qgis
def test_every_output_that_qgis_shows_is_known_to_the_engine(plugin):
    from qgis.core import QgsApplication

    registry = QgsApplication.processingRegistry()
    for operation, names in INPUTS_OF.items():
        algorithm = registry.createAlgorithmById(f"tiledseg:{operation}")
        files = [definition for definition in algorithm.parameterDefinitions() if is_input(definition)]
        assert {definition.name() for definition in files} == set(names)
    known = {
        (operation, output)
        for operation, output in engine_runs(Path("."), dict.fromkeys(("INPUT", "VALUES", "SEGMENTS", "TILES"), ""))
    }
    shown = {
        (operation, definition.name())
        for operation in INPUTS_OF
        for algorithm in [registry.createAlgorithmById(f"tiledseg:{operation}")]
        for definition in algorithm.destinationParameterDefinitions()
    }
    assert known == shown


def is_input(definition):
    return definition.type() in ("raster", "source", "vector")


def qgis_pairs():
    """Every output and every input of every algorithm, from their own definitions."""
    from qgis.core import QgsApplication

    for algorithm in QgsApplication.processingRegistry().providerById("tiledseg").algorithms():
        inputs = [definition.name() for definition in algorithm.parameterDefinitions() if is_input(definition)]
        for output in algorithm.destinationParameterDefinitions():
            kind = "raster" if output.type() == "rasterDestination" else "vector"
            for name in inputs:
                yield algorithm.id(), output.name(), kind, name, inputs


SPARE = {"raster": "spare.tif", "vector": "spare.gpkg"}


@pytest.mark.qgis
@pytest.mark.parametrize("make", [plain, geopackage, mosaic_of_mosaics])
def test_qgis_refuses_every_output_that_is_a_file_of_an_input(plugin, tmp_path, make):
    import processing
    from qgis.core import QgsApplication, QgsProcessingException

    tried = set()
    for index, (algorithm, output, kind, name, inputs) in enumerate(qgis_pairs()):
        given, files = inputs_in(
            tmp_path / str(index), name if name in INPUTS_OF["segment"] + ("VALUES", "SEGMENTS") else "INPUT", make
        )
        others = {
            other.name(): str(
                tmp_path / str(index) / f"{number}{SPARE['raster' if 'raster' in other.type() else 'vector']}"
            )
            for number, other in enumerate(
                QgsApplication.processingRegistry().algorithmById(algorithm).destinationParameterDefinitions()
            )
        }
        for file in files:
            path = aimed_at(file, kind)
            if path is None:
                continue
            parameters = {**others, **{each: given[each] for each in inputs}, output: path}
            before = contents(tmp_path / str(index))
            with pytest.raises(QgsProcessingException) as raised:
                processing.run(algorithm, parameters)
            assert name in str(raised.value), (algorithm, output, name, str(raised.value))
            assert contents(tmp_path / str(index)) == before, (algorithm, output, name)
            tried.add((algorithm, output, name))
    assert tried


def test_names_of_one_file_are_known(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "a.tif", values())
    (tmp_path / "sub").mkdir()
    os.link(path, tmp_path / "hard.tif")
    os.symlink(path, tmp_path / "soft.tif")
    os.symlink(tmp_path, tmp_path / "sub" / "up")
    files = FileSet([path])
    monkeypatch.chdir(tmp_path / "sub")
    for name in ("../a.tif", "up/a.tif", "up/sub/../a.tif", str(tmp_path / "hard.tif"), str(tmp_path / "soft.tif")):
        assert name in files
    assert str(tmp_path / "A.TIF") not in files
    assert str(tmp_path / "sub" / "a.tif") not in files


def test_case_does_not_count_where_the_file_system_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_files, "ignores_case", lambda folder: True)
    missing = write_vrt(tmp_path / "v.vrt", "Deep.tif", relative=True)
    dataset = Dataset("INPUT", missing)
    assert dataset.holds(str(tmp_path / "deep.TIF"))
    with pytest.raises(SegmentationError, match="one name"):
        check_files(
            [Output("OUTPUT", str(tmp_path / "x.tif"), SEGMENTS), Output("M", str(tmp_path / "X.tif"), IMAGE)], []
        )
    monkeypatch.setattr(dataset_files, "ignores_case", lambda folder: False)
    assert not Dataset("INPUT", missing).holds(str(tmp_path / "deep.TIF"))
    check_files([Output("OUTPUT", str(tmp_path / "x.tif"), SEGMENTS), Output("M", str(tmp_path / "X.tif"), IMAGE)], [])


def test_case_is_found_out_by_looking(tmp_path, monkeypatch):
    (tmp_path / "Name").touch()
    dataset_files.ignores_case.cache_clear()
    assert not dataset_files.ignores_case(str(tmp_path))
    (tmp_path / "nAME").hardlink_to(tmp_path / "Name") if hasattr(Path, "hardlink_to") else os.link(
        tmp_path / "Name", tmp_path / "nAME"
    )
    dataset_files.ignores_case.cache_clear()
    assert dataset_files.ignores_case(str(tmp_path))
    dataset_files.ignores_case.cache_clear()


@pytest.mark.parametrize(
    "template",
    [
        "{f}",
        "{f}|layername=x|subset=a=1",
        "/vsizip/{f}/in/side.tif",
        "/vsizip/{{{f}}}/side.tif",
        "/vsigzip/{f}",
        "/vsisubfile/10_20,{f}",
        "/vsitar/{f}/a/b.tif",
        'NETCDF:"{f}":temperature',
        "NETCDF:{f}:temperature",
        "HDF5:{f}://group/data",
        "GPKG:{f}:raster",
        "GTIFF_DIR:2:{f}",
        "DERIVED_SUBDATASET:LOGAMPLITUDE:{f}",
        'NETCDF:"/vsizip/{f}/a.nc":v',
        "vrt://{f}?bands=1",
        "file://{f}?type=csv&xField=x",
        "dbname='{f}' table=\"x\" (geom)",
        "ogr:dbname='{f}' table=\"x\" (geom)",
    ],
)
def test_a_dataset_is_its_container(tmp_path, template):
    file = tmp_path / "with space.bin"
    file.touch()
    assert [os.path.normpath(path) for path in paths_in(template.format(f=file))] == [str(file)]


def test_sources_of_vrts_are_found_however_they_are_named(tmp_path):
    for name in ("a&b.tif", "warped.tif", "c.tif", "gone.tif", "inline.tif"):
        if name != "gone.tif":
            write_raster(tmp_path / name, values(1))
    (tmp_path / "v.bin").write_text(
        '<VRTDataset rasterXSize="48" rasterYSize="48" subClass="VRTWarpedDataset"><GDALWarpOptions>'
        '<SourceDataset relativeToVRT="1">warped.tif</SourceDataset></GDALWarpOptions><Band><SourceFilename '
        'relativeToVRT="1">a&amp;b.tif</SourceFilename><SourceFilename relativeToVRT="1"><![CDATA[c.tif]]>'
        "</SourceFilename><SourceFilename relativeToVRT='1'>gone.tif</SourceFilename></Band></VRTDataset>"
    )
    (tmp_path / "o.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource relativeToVRT="1">v.bin</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    inline = f"<VRTDataset><A><SourceFilename>{tmp_path / 'inline.tif'}</SourceFilename></A></VRTDataset>"
    dataset = Dataset("INPUT", str(tmp_path / "o.vrt"))
    for name in ("a&b.tif", "warped.tif", "c.tif", "gone.tif", "v.bin", "o.vrt", "c.tif.ovr", "gone.tif.aux.xml"):
        assert dataset.holds(str(tmp_path / name)), name
    assert not dataset.holds(str(tmp_path / "inline.tif")) and not dataset.holds(str(tmp_path / "other.tif"))
    assert Dataset("INPUT", inline).holds(str(tmp_path / "inline.tif"))


def test_a_vrt_that_refers_to_itself_ends(tmp_path):
    assert Dataset("INPUT", write_vrt(tmp_path / "v.vrt", "v.vrt", relative=True)).holds(str(tmp_path / "v.vrt"))


def test_side_files_of_inputs_are_theirs(tmp_path):
    grid = tmp_path / "g.asc"
    gdal.Translate(str(grid), write_raster(tmp_path / "a.tif", values(1)), format="AAIGrid")
    assert (tmp_path / "g.prj").exists()
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match=r"would replace .*g\.prj, a file of VALUES"):
        segment_polygons(
            PolygonsParameters(
                write_raster(tmp_path / "s.tif", ids(), 0), str(tmp_path / "g.shp"), str(grid), execution="serial"
            ),
            Feedback(),
        )
    assert contents(tmp_path).items() >= before.items()
    write_tiles(tmp_path / "t.shp", "ESRI Shapefile")
    for end in (".shp", ".shx", ".dbf", ".prj"):
        assert Dataset("TILES", str(tmp_path / "t.shp")).holds(str(tmp_path / f"t{end}"))


def test_outputs_do_not_go_into_a_folder_that_is_an_input(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    write_tiles(folder / "t.shp", "ESRI Shapefile")
    with pytest.raises(SegmentationError, match="TILES"):
        check_files([Output("OUTPUT", str(folder / "new.tif"), SEGMENTS)], [("TILES", f"{folder}|layername=t")])


COLLISIONS = {
    "tiles and polygons": ({"polygons": "a.gpkg", "s1tiles": "a.gpkg"}, "one name"),
    "tiles in the polygons": (
        {"polygons": "a.gpkg", "s1tiles": "ogr:dbname='{}/a.gpkg' table=\"t\" (geom)"},
        "one name",
    ),
    "tiles without extension": ({"polygons": "a.gpkg", "s1tiles": "a"}, "one name"),
    "mean image": ({"mean_image": "o.tif"}, "one name"),
    "mean image by another path": ({"mean_image": "./x/../o.tif"}, "one name"),
    "polygons and attribute table": ({"polygons": "o_attributes.gpkg"}, "both write"),
    "tiles and attribute table": ({"s1tiles": "o_attributes.gpkg"}, "both write"),
    "tiles and report": ({"s1tiles": "o_report.json"}, "both write"),
    "polygons and report": ({"polygons": "o_report.json"}, "both write"),
    "world files": ({"mean_image": "o.tiff", "creation_options": "TFW=YES"}, "both write"),
    "sides of shapefiles": ({"polygons": "o.shp", "s1tiles": "o.SHP"}, "both write|one name"),
}


@pytest.mark.parametrize("case", COLLISIONS)
def test_outputs_of_one_run_must_not_collide(tmp_path, case):
    outputs, message = COLLISIONS[case]
    (tmp_path / "x").mkdir()
    raster = write_raster(tmp_path / "in.tif", values())
    paths = {name: given.format(tmp_path) if "=" in given else str(tmp_path / given) for name, given in outputs.items()}
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match=message):
        segment(SegmentParameters(raster, str(tmp_path / "o.tif"), execution="serial", **paths), Feedback())
    assert contents(tmp_path) == before


def test_what_is_the_users_is_not_taken_for_a_side_file(tmp_path):
    raster = write_raster(tmp_path / "in.tif", values())
    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    segments = str(tmp_path / "seg.tif")
    segment(SegmentParameters(raster, segments, **quick), Feedback())
    table = tmp_path / "seg_attributes.gpkg"
    segment_statistics(StatisticsParameters(segments, raster, str(table), execution="serial"), Feedback())
    assert not is_attribute_table(str(table))
    segment_statistics(
        StatisticsParameters(segments, raster, statistics=("sum",), update_rat=True, execution="serial"), Feedback()
    )
    dataset = gdal.Open(segments)
    rat = dataset.GetRasterBand(1).GetDefaultRAT()
    assert "sum_1" in [rat.GetNameOfCol(column) for column in range(rat.GetColumnCount())]
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match="seg_attributes.gpkg is in the way of OUTPUT"):
        segment(SegmentParameters(raster, segments, **quick), Feedback())
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "output, kind, stranger",
    [
        ("o.tif", SEGMENTS, "o_report.json"),
        ("o.tif", SEGMENTS, "o_attributes.gpkg"),
        ("o.tif", IMAGE, "o.tif.ovr"),
        ("o.tif", IMAGE, "o.tif.msk"),
        ("o.img", SEGMENTS, "o.ige"),
        ("o.shp", VECTOR, "o.dbf"),
        ("o.shp", VECTOR, "o.prj"),
        ("o.csv", VECTOR, "o.csvt"),
        ("o.gpkg", VECTOR, "o.gpkg-wal"),
        ("o.tab", VECTOR, "o.dat"),
    ],
)
def test_a_strangers_file_is_in_the_way(tmp_path, output, kind, stranger):
    (tmp_path / stranger).write_text('{"mine": 1}')
    with pytest.raises(SegmentationError, match=f"{stranger} is in the way of NAME .*move it, or choose"):
        check_files([Output("NAME", str(tmp_path / output), kind)], [])
    assert (tmp_path / stranger).read_text() == '{"mine": 1}'


def test_strange_files_that_no_run_writes_stay(tmp_path):
    for name in ("o.rrd", "o.tfw", "o_attributes.csv", "o.qix", "o.prj"):
        (tmp_path / name).write_text("mine")
    raster = write_raster(tmp_path / "in.tif", values())
    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    for _ in range(2):
        segment(SegmentParameters(raster, str(tmp_path / "o.img"), **quick), Feedback())
        segment(SegmentParameters(raster, str(tmp_path / "o.tif"), **quick), Feedback())
    for name in ("o.rrd", "o.tfw", "o_attributes.csv", "o.qix", "o.prj"):
        assert (tmp_path / name).read_text() == "mine"


def test_what_belongs_to_an_earlier_output_goes_with_it(tmp_path):
    target = tmp_path / "o.img"
    write_raster(target, values(1), driver="HFA")
    with_overviews = gdal.Open(str(target), gdal.GA_Update)
    gdal.SetConfigOption("HFA_USE_RRD", "YES")
    with_overviews.BuildOverviews("NEAREST", [2])
    gdal.SetConfigOption("HFA_USE_RRD", None)
    del with_overviews
    assert (tmp_path / "o.rrd").exists()
    assert target.with_suffix(".rrd") in replaced_files(Output("OUTPUT", str(target), SEGMENTS))(target)
    table = tmp_path / "t_attributes.gpkg"
    write_table(table, [Column("segment", np.arange(1, 4)), Column("Histogram", np.ones(3))], lambda: None)
    (tmp_path / "t_report.json").write_text(json.dumps({"parameters": {}, "results": {}, "versions": {}}))
    write_raster(tmp_path / "t.tif", values(1))
    (tmp_path / "t.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    replaced = replaced_files(Output("OUTPUT", str(tmp_path / "t.tif"), SEGMENTS))(tmp_path / "t.tif")
    assert {path.name for path in replaced} == {"t_attributes.gpkg", "t_report.json", "t.tif.aux.xml"}
    image = replaced_files(Output("MEAN_IMAGE", str(tmp_path / "t.tif"), IMAGE))(tmp_path / "t.tif")
    assert {path.name for path in image} == {"t.tif.aux.xml"}


def test_metadata_that_a_deleted_raster_left_are_no_hindrance(tmp_path):
    (tmp_path / "o.tif.aux.xml").write_text("<PAMDataset>\n</PAMDataset>")
    check_files([Output("OUTPUT", str(tmp_path / "o.tif"), SEGMENTS)], [])


def test_every_file_that_a_run_leaves_was_foretold(tmp_path):
    raster = write_raster(tmp_path / "in.tif", values())
    quick = {"num_clusters": 4, "min_pixels": 3, "sampling": 1, "execution": "serial", "kernels": "plain"}
    for number, (output, image, polygons) in enumerate(
        (("o.tif", "m.tif", "p.gpkg"), ("o.img", "m.img", "p.shp"), ("o.cog.tif", "m.cog.tif", "p.gml"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths = {"mean_image": str(folder / image), "polygons": str(folder / polygons)}
        segment(SegmentParameters(raster, str(folder / output), **quick, **paths), Feedback())
        foretold = {
            path.name
            for name, kind in ((output, SEGMENTS), (image, IMAGE), (polygons, VECTOR))
            for path in names_of(Output("x", str(folder / name), kind))
        }
        assert {path.name for path in folder.iterdir()} <= foretold


def test_updating_the_table_does_not_change_values(tmp_path):
    segments = write_raster(tmp_path / "s.tif", ids(), 0)
    vrt = write_vrt(tmp_path / "v.vrt", segments)
    before = contents(tmp_path)
    for raster in (vrt, segments):
        with pytest.raises(SegmentationError, match="UPDATE_RAT would change .* a file of VALUES"):
            segment_statistics(StatisticsParameters(segments, raster, update_rat=True, execution="serial"), Feedback())
    assert contents(tmp_path) == before


def test_ids_beyond_the_table_are_refused_before_there_is_an_output(tmp_path):
    large = ids()
    large[large == 6] = 4_000_000_000
    segments = write_raster(tmp_path / "s.tif", large, 0)
    raster = write_raster(tmp_path / "v.tif", values())
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match="reach 4000000000.*switch UPDATE_RAT off"):
        parameters = StatisticsParameters(
            segments, raster, str(tmp_path / "o.csv"), update_rat=True, execution="serial"
        )
        segment_statistics(parameters, Feedback())
    assert contents(tmp_path) == before
    far = ids() + 200_000
    segments = write_raster(tmp_path / "s.tif", far, 0)
    before = contents(tmp_path)
    with pytest.raises(SegmentationError, match="too large for the side file of a GeoTIFF"):
        segment_statistics(replace(parameters, segments=segments), Feedback())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["n" * 247 + ".tif", "ü" * 120 + ".tif", "n" * 240 + ".tif", "n" * 246 + ".cog.tif"])
def test_a_name_that_leaves_no_room_for_side_files_is_called_too_long(tmp_path, name):
    raster = write_raster(tmp_path / "in.tif", values())
    with pytest.raises(SegmentationError, match="too long for its folder"):
        segment(SegmentParameters(raster, str(tmp_path / name), execution="serial"), Feedback())
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_table_with_more_columns_than_the_format_has_is_refused(tmp_path):
    raster = write_raster(tmp_path / "in.tif", np.ones((500, 4, 4), np.uint8))
    segments = write_raster(tmp_path / "s.tif", np.ones((1, 4, 4), np.uint32), 0)
    for path, message in (("p.gpkg", "2002 columns"), ("p.sqlite", "2002 columns"), ("p.shp", "2002 columns")):
        with pytest.raises(SegmentationError, match=message):
            segment_polygons(PolygonsParameters(segments, str(tmp_path / path), raster, execution="serial"), Feedback())
    with pytest.raises(SegmentationError, match="OUTPUT .* 2006 columns for 500 bands"):
        segment(SegmentParameters(raster, str(tmp_path / "o.tif"), execution="serial"), Feedback())
    with pytest.raises(SegmentationError, match="2001 columns"):
        parameters = StatisticsParameters(segments, raster, str(tmp_path / "t.gpkg"), execution="serial")
        segment_statistics(parameters, Feedback())
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "s.tif"}
    segment_polygons(PolygonsParameters(segments, str(tmp_path / "p.fgb"), raster, execution="serial"), Feedback())
    assert ogr.Open(str(tmp_path / "p.fgb")).GetLayer(0).GetLayerDefn().GetFieldCount() == 2002


@pytest.mark.parametrize("extension, driver", [(".gpkg", "GPKG"), (".sqlite", "SQLite")])
def test_as_many_columns_as_are_allowed_can_be_read(tmp_path, extension, driver):
    most = MOST_COLUMNS[driver]
    check_columns("OUTPUT", "x", driver, most)
    path = str(tmp_path / f"t{extension}")
    dataset = ogr.GetDriverByName(driver).CreateDataSource(path)
    layer = dataset.CreateLayer("t", None, ogr.wkbPolygon)
    for index in range(most):
        layer.CreateField(ogr.FieldDefn(f"c{index}", ogr.OFTReal))
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetField(most - 1, 1.5)
    assert layer.CreateFeature(feature) == 0
    del feature, layer, dataset
    assert ogr.Open(path).GetLayer(0).GetNextFeature().GetField(most - 1) == 1.5
    with pytest.raises(SegmentationError):
        check_columns("OUTPUT", "x", driver, most + 1)


OWN_CRS = "+proj=laea +lat_0=12 +lon_0=33 +x_0=7 +ellps=bessel +units=m"


@pytest.mark.parametrize(
    "crs, extension, driver, holds",
    [
        *(
            (UTM, end, driver, True)
            for end, driver in (
                (".gpkg", "GPKG"),
                (".geojson", "GeoJSON"),
                (".shp", "ESRI Shapefile"),
                (".gml", "GML"),
                (".fgb", "FlatGeobuf"),
                (".sqlite", "SQLite"),
            )
        ),
        *((OWN_CRS, end, driver, True) for end, driver in ((".gpkg", "GPKG"), (".fgb", "FlatGeobuf"))),
        *((OWN_CRS, end, driver, False) for end, driver in ((".geojson", "GeoJSON"), (".gml", "GML"))),
        *((None, end, driver, True) for end, driver in ((".gpkg", "GPKG"), (".geojson", "GeoJSON"))),
    ],
)
@pytest.mark.parametrize(
    "geotransform", [(500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0), (500000.0, 9.0, 3.0, 6000000.0, 2.0, -10.0)]
)
def test_formats_that_lose_the_reference_system_are_refused(tmp_path, crs, extension, driver, holds, geotransform):
    raster = write_raster(tmp_path / "in.tif", values(1), crs=crs, geotransform=geotransform)
    if holds:
        check_place("POLYGONS", f"p{extension}", driver, raster)
    else:
        with pytest.raises(SegmentationError, match="cannot hold the coordinate reference system"):
            check_place("POLYGONS", f"p{extension}", driver, raster)
        segments = write_raster(tmp_path / "s.tif", ids(), 0, crs=crs)
        with pytest.raises(SegmentationError, match="cannot hold the coordinate reference system"):
            segment_polygons(
                PolygonsParameters(segments, str(tmp_path / f"p{extension}"), execution="serial"), Feedback()
            )
    assert not (tmp_path / f"p{extension}").exists()
    assert not shutil.os.path.exists(f"p{extension}")
