# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing of the user's is lost: no output of any operation is a file of an input, whatever the input is."""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from guarded import (
    INPUTS_OF,
    RASTERS,
    aimed_at,
    contents,
    engine_runs,
    geopackage,
    ids,
    inputs_in,
    mosaic,
    mosaic_of_mosaics,
    plain,
    values,
    write_tiles,
    write_vrt,
)
from osgeo import gdal
from rasters import write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files import dataset_files
from tiledseg.tiledseg_plugin.engine.files.dataset_files import Dataset, FileSet, paths_in
from tiledseg.tiledseg_plugin.engine.files.output_files import IMAGE, SEGMENTS, Output, check_files
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback

MADE = [(name, make) for name in ("INPUT", "VALUES", "SEGMENTS") for make in RASTERS]


@pytest.mark.parametrize("name, make", [*MADE, ("MORE_VALUES", geopackage), ("TILES", plain)])
def test_the_engine_refuses_every_output_that_is_a_file_of_an_input(tmp_path, name, make):
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
        for operation, output in engine_runs(Path("."), dict.fromkeys(sum(INPUTS_OF.values(), ()), ""))
    }
    shown = {
        (operation, definition.name())
        for operation in INPUTS_OF
        for algorithm in [registry.createAlgorithmById(f"tiledseg:{operation}")]
        for definition in algorithm.destinationParameterDefinitions()
    }
    assert known == shown


def is_input(definition):
    return definition.type() in ("raster", "source", "vector", "layer", "multilayer")


def qgis_pairs():
    """Every output and every input of every algorithm, from their own definitions."""
    from qgis.core import QgsApplication

    for algorithm in QgsApplication.processingRegistry().providerById("tiledseg").algorithms():
        inputs = [definition.name() for definition in algorithm.parameterDefinitions() if is_input(definition)]
        for output in algorithm.destinationParameterDefinitions():
            kind = kind_of(output)
            for name in inputs:
                yield algorithm.id(), output.name(), kind, name, inputs


def kind_of(output):
    return {"rasterDestination": "raster", "fileDestination": "page"}.get(output.type(), "vector")


SPARE = {"raster": "spare.tif", "vector": "spare.gpkg", "page": "spare.html"}


@pytest.mark.qgis
@pytest.mark.parametrize("make", [plain, geopackage, mosaic_of_mosaics])
def test_qgis_refuses_every_output_that_is_a_file_of_an_input(plugin, tmp_path, make):
    import processing
    from qgis.core import QgsApplication, QgsProcessingException

    tried = set()
    for index, (algorithm, output, kind, name, inputs) in enumerate(qgis_pairs()):
        given, files = inputs_in(tmp_path / str(index), name if name in sum(INPUTS_OF.values(), ()) else "INPUT", make)
        others = {
            other.name(): str(tmp_path / str(index) / f"{number}{SPARE[kind_of(other)]}")
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


def test_updating_the_table_does_not_change_values(tmp_path):
    segments = write_raster(tmp_path / "s.tif", ids(), 0)
    vrt = write_vrt(tmp_path / "v.vrt", segments)
    before = contents(tmp_path)
    for raster in (vrt, segments):
        with pytest.raises(SegmentationError, match="UPDATE_RAT would change .* a file of VALUES"):
            segment_statistics(StatisticsParameters(segments, raster, update_rat=True, execution="serial"), Feedback())
    assert contents(tmp_path) == before


def aged(*paths):
    """Files as if nobody had changed them for a while."""
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))


@pytest.fixture
def looks(monkeypatch):
    """The sources of datasets that have been looked at, one after the other."""
    found, look = [], dataset_files._with_sources
    monkeypatch.setattr(dataset_files, "_remembered", OrderedDict())
    monkeypatch.setattr(dataset_files, "_with_sources", lambda source: found.append(source) or look(source))
    return found


def test_a_dataset_that_stays_as_it_is_is_looked_at_once(tmp_path, looks):
    vrt, sources = mosaic(tmp_path, values(), "v")
    for _ in range(2):
        assert Dataset("INPUT", vrt).holds(sources[0])
    assert looks == [vrt, vrt]  # a file that has just been written may change again within one tick of its clock
    aged(vrt, *sources)
    for name in ("INPUT", "VALUES", "INPUT"):
        assert Dataset(name, vrt).holds(sources[0]) and not Dataset(name, vrt).holds(str(tmp_path / "other.tif"))
    assert looks == [vrt] * 3
    for other in sources + [str(tmp_path / "missing.tif"), str(tmp_path / "gone.tif")]:
        Dataset("INPUT", other)
    assert len(dataset_files._remembered) == dataset_files.MOST_REMEMBERED


CHANGES = {
    "the VRT has another source": lambda folder: write_vrt(folder / "v.vrt", folder / "x.tif"),
    "a link has another target": lambda folder: repoint(folder / "a.tif", folder / "x.tif"),
    "a file has another name, too": lambda folder: repoint(folder / "a.tif", folder / "x.tif", os.link),
    "what was missing is there": lambda folder: os.symlink(folder / "x.tif", folder / "missing.tif"),
    "the folder of the sources is another": lambda folder: repoint(folder / "deep", folder / "other"),
    "the folder of the output is another": lambda folder: repoint(folder / "out", folder / "other"),
}


def repoint(link, target, how=os.symlink):
    link.unlink()
    how(target, link)


@pytest.mark.parametrize("change", CHANGES)
def test_a_dataset_that_has_changed_is_looked_at_again(tmp_path, looks, change):
    for name in ("one", "other", "third"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.tif").write_text(name)
    for name in ("own.tif", "x.tif"):
        (tmp_path / name).write_text(name)
    os.symlink(tmp_path / "own.tif", tmp_path / "a.tif")
    os.symlink(tmp_path / "one", tmp_path / "deep")
    os.symlink(tmp_path / "third", tmp_path / "out")
    write_vrt(tmp_path / "v.vrt", "a.tif", "missing.tif", "deep/b.tif", relative=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    aged(*files)
    aimed = [tmp_path / name for name in ("x.tif", "other/b.tif", "out/new.tif")]
    for _ in range(2):
        assert [Dataset("INPUT", str(tmp_path / "v.vrt")).holds(str(path)) for path in aimed] == [False] * 3
    if change == "the folder of the output is another":
        write_vrt(tmp_path / "v.vrt", tmp_path / "other" / "new.tif")
        aged(tmp_path / "v.vrt")
        assert not Dataset("INPUT", str(tmp_path / "v.vrt")).holds(str(aimed[2]))
    CHANGES[change](tmp_path)
    aged(*(path for path in tmp_path.rglob("*") if path.is_file()))
    fresh = dataset_files._Files(str(tmp_path / "v.vrt"))
    expected = [fresh.hold(str(path)) for path in aimed]
    assert any(expected)
    assert [Dataset("INPUT", str(tmp_path / "v.vrt")).holds(str(path)) for path in aimed] == expected


def test_what_may_change_without_a_sign_is_not_remembered(tmp_path, looks):
    name = "/vsimem/tiledseg-test.vrt"
    try:
        for source in ("a.tif", "b.tif"):
            content = write_vrt(tmp_path / "v.vrt", tmp_path / source) and (tmp_path / "v.vrt").read_bytes()
            gdal.FileFromMemBuffer(name, content)
            assert Dataset("INPUT", name).holds(str(tmp_path / source))
    finally:
        gdal.Unlink(name)


@pytest.mark.qgis
def test_a_run_in_qgis_looks_at_its_input_once(plugin, tmp_path, looks):
    import processing

    vrt, sources = mosaic(tmp_path, values().astype(np.uint8), "v")
    aged(vrt, *sources)
    outputs = {name: str(tmp_path / file) for name, file in (("OUTPUT", "o.tif"), ("POLYGONS", "p.gpkg"))}
    processing.run("tiledseg:segment", {"INPUT": vrt, "EXECUTION": "serial", "SAMPLING": 1, **outputs})
    assert looks == [vrt]
