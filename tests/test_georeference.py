# SPDX-License-Identifier: GPL-2.0-or-later
"""All that is made of a raster lies where the raster lies: geotransform, points, sensor models, any CRS."""

import numpy as np
import pytest
from osgeo import gdal, ogr, osr
from rasters import GEOTRANSFORM, UTM, read, run, write_raster
from tiledseg.tiledseg_plugin.engine.errors import SegmentationError
from tiledseg.tiledseg_plugin.engine.files.gdal_access import open_raster
from tiledseg.tiledseg_plugin.engine.files.georeference import geotransform, spatial_reference
from tiledseg.tiledseg_plugin.engine.files.output_files import SEGMENTS, Output
from tiledseg.tiledseg_plugin.engine.files.outputs import create_like
from tiledseg.tiledseg_plugin.engine.files.raster import describe
from tiledseg.tiledseg_plugin.engine.products import alignment
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import (
    MeanImageParameters,
    PolygonsParameters,
    segment_mean_image,
    segment_polygons,
)
from tiledseg.tiledseg_plugin.engine.products.segment_statistics import StatisticsParameters, segment_statistics
from tiledseg.tiledseg_plugin.engine.progress import Feedback

QUICK = {"sampling": 3, "min_pixels": 5, "num_clusters": 8, "execution": "serial"}
ROTATED = (1.5, 0.1, 0.03, 2.25, -0.04, -0.1)
SOUTH_UP = (500000.0, 10.0, 0.0, 6000000.0, 0.0, 10.0)
DEGREES = (7.125, 0.001, 0.0, 51.5, 0.0, -0.001)
SYSTEMS = {
    "UTM": (UTM, GEOTRANSFORM),
    "LAEA without code": ("+proj=laea +lat_0=47.3 +lon_0=8.1 +x_0=0 +y_0=0 +ellps=bessel", (0, 10, 0, 400, 0, -10)),
    "oblique Mercator": (
        "+proj=omerc +lat_0=46.95 +lonc=7.44 +alpha=90 +k_0=1 +x_0=600000 +y_0=200000 +ellps=bessel",
        (600000, 10, 0, 200000, 0, -10),
    ),
    "engineering": ('LOCAL_CS["site grid",UNIT["metre",1]]', (10, 0.5, 0, 70, 0, -0.5)),
    "compound": ("EPSG:25832+7837", GEOTRANSFORM),
    "degrees": ("EPSG:4326", DEGREES),
    "degrees, longitude first": ("OGC:CRS84", DEGREES),
    "three dimensions": ("EPSG:4979", DEGREES),
    "WKT of ESRI": (
        'PROJCS["mine",GEOGCS["GCS_European_1950",DATUM["D_European_1950",SPHEROID["International_1924",6378388.0,297.0]]'
        ',PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Lambert_Conformal_Conic"],'
        'PARAMETER["False_Easting",5.0],PARAMETER["False_Northing",7.0],PARAMETER["Central_Meridian",8.0],'
        'PARAMETER["Standard_Parallel_1",45.0],PARAMETER["Standard_Parallel_2",52.0],'
        'PARAMETER["Latitude_Of_Origin",48.0],UNIT["Meter",1.0]]',
        (0, 10, 0, 400, 0, -10),
    ),
    "sinusoidal": ("+proj=sinu +R=6371007.181 +units=m", (500000, 463, 0, 5000000, 0, -463)),
    "rotated pole": (
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +to_meter=0.0174532925",
        DEGREES,
    ),
    "feet": ("EPSG:2263", (980000, 3, 0, 190000, 0, -3)),
    "south-up": (UTM, SOUTH_UP),
    "rotated": (UTM, ROTATED),
    "no CRS": (None, GEOTRANSFORM),
    "nothing": (None, None),
}


# what formats keep less of; a rotated raster cannot be warped, so it must be known for the same grid
ALTERED = {
    "Bessel with a shift": "+proj=tmerc +lon_0=9 +ellps=bessel +towgs84=598.1,73.7,418.2,0.2,0,-2.4,6.7 +type=crs",
    "geostationary": "+proj=geos +h=35785831 +lon_0=0 +ellps=WGS84 +type=crs",
    "interrupted": "+proj=igh +ellps=WGS84 +type=crs",
    "gnomonic": "+proj=gnom +lat_0=50 +lon_0=8 +R=6371000 +type=crs",
    "tilted": "+proj=nsper +h=3000000 +lat_0=-20 +lon_0=145 +ellps=WGS84 +type=crs",
    "geoid": "+proj=utm +zone=30 +ellps=WGS84 +geoidgrids=egm96_15.gtx +vunits=m +type=crs",
    "Mars": "+proj=longlat +a=3396190 +b=3376200 +no_defs +type=crs",
    "datum of no name": 'GEOGCS["mine",DATUM["mine",SPHEROID["s",6378000,300]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]',
    "plant": 'ENGCRS["plant",EDATUM["d"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]',
    "vertical": "EPSG:5703",
    "geocentric": "EPSG:4978",
    "Krovak": "EPSG:5514",
    "westing and southing": "EPSG:2054",
    "grads from Paris": "EPSG:4807",
    "kilometres": "+proj=utm +zone=30 +datum=WGS84 +units=km +type=crs",
    "Mollweide of ESRI": "ESRI:54009",
    "LAEA of Europe": "EPSG:3035",
}


def scene(bands=3, rows=40, cols=50):
    rng = np.random.default_rng(0)
    coarse = rng.integers(1, 120, (bands, -(-rows // 8), -(-cols // 8)))
    values = np.kron(coarse, np.ones((8, 8), int))[:, :rows, :cols]
    return (values + rng.integers(0, 5, (bands, rows, cols))).astype(np.uint16)


def with_points(path, transform=None, crs=UTM, shift=0.0, domain=None):
    """A raster that lies by ground control points, and, where it is given, by a geotransform as well.

    A GeoTIFF keeps one of them, so what is asked for in addition goes into a VRT of it.
    """
    tif = write_raster(path.with_suffix(".tif"), scene(), crs=None, geotransform=None)
    dataset = gdal.Translate(str(path), tif, format="VRT")
    system = osr.SpatialReference()
    system.SetFromUserInput(crs)
    system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    corners = ((0, 0), (50, 0), (0, 40), (50, 40))
    dataset.SetGCPs([gdal.GCP(500000 + 10 * x + shift, 6000000 - 11 * y, 0, x, y) for x, y in corners], system)
    if transform:
        dataset.SetGeoTransform(transform)
        dataset.SetSpatialRef(system)
    for name, items in (domain or {}).items():
        dataset.SetMetadata(items, name)
    dataset.FlushCache()
    return str(path)


def placed(path, system, transform):
    """A raster without values, whose CRS is kept as it is given."""
    dataset = gdal.GetDriverByName("VRT").Create(str(path), 50, 40, 1)
    dataset.SetGeoTransform(transform)
    if system:
        reference = osr.SpatialReference()
        assert reference.SetFromUserInput(system) == 0
        dataset.SetSpatialRef(reference)
    dataset.FlushCache()
    return str(path)


def box(path):
    """The extent and CRS of a layer."""
    dataset = ogr.Open(str(path))
    layer = dataset.GetLayer(0)
    return layer.GetExtent(), layer.GetSpatialRef().Clone() if layer.GetSpatialRef() is not None else None


def corners(transform, width=50, height=40):
    points = [gdal.ApplyGeoTransform(transform, x, y) for x in (0, width) for y in (0, height)]
    xs, ys = zip(*points)
    return min(xs), max(xs), min(ys), max(ys)


def statistics_of(segments, values, folder):
    """{segment: mean of band 1} by `tiledseg:statistics`."""
    output = folder / "statistics.csv"
    segment_statistics(
        StatisticsParameters(str(segments), str(values), str(output), (1,), ("mean",), execution="serial"), Feedback()
    )
    rows = [line.split(",") for line in output.read_text().splitlines()[1:]]
    return {int(row[0]): float(row[1]) for row in rows}


def check_statistics(segments, values, folder):
    ids, pixels = read(segments), read(values)[0]
    found = statistics_of(segments, values, folder)
    assert found == {segment: pytest.approx(pixels[ids == segment].mean()) for segment in np.unique(ids[ids > 0])}


@pytest.mark.parametrize("extension", ["tif", "cog.tif", "img"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_products_of_any_reference_lie_on_the_raster_and_join_it_again(tmp_path, system, extension):
    if extension == "cog.tif" and gdal.GetDriverByName("COG") is None:
        pytest.skip("this GDAL has no COG driver")
    if extension == "cog.tif" and system not in ("LAEA without code", "south-up", "rotated", "nothing"):
        pytest.skip("as with .tif")
    crs, transform = SYSTEMS[system]
    path = write_raster(tmp_path / "in.tif", scene(), geotransform=transform, crs=crs)
    output, mean = tmp_path / f"out.{extension}", tmp_path / "mean.tif"
    polygons = "" if system == "rotated pole" else str(tmp_path / "p.gpkg")  # which a GeoPackage cannot hold
    run(path, output, mean_image=str(mean), polygons=polygons, **QUICK)
    if transform is not None:
        for product in (output, mean):
            assert geotransform(gdal.Open(str(product))) == pytest.approx(transform, rel=1e-12, abs=1e-12)
    if polygons:
        assert box(polygons)[0] == pytest.approx(corners(transform or (0, 1, 0, 0, 0, -1)), rel=1e-9)
    check_statistics(output, path, tmp_path)
    check_statistics(output, mean, tmp_path)
    segment_mean_image(
        MeanImageParameters(str(output), path, str(tmp_path / "again.tif"), execution="serial"), Feedback()
    )
    assert np.array_equal(read(tmp_path / "again.tif"), read(mean), equal_nan=True)


@pytest.mark.parametrize("extension", ["tif", "img"])
@pytest.mark.parametrize("system", [*SYSTEMS, *ALTERED])
def test_a_crs_that_a_format_alters_or_loses_leaves_the_grid_the_same(tmp_path, system, extension):
    system = ALTERED.get(system) or SYSTEMS[system][0]
    source, path = placed(tmp_path / "in.vrt", system, ROTATED), str(tmp_path / f"out.{extension}")
    copy = create_like(Output("OUTPUT", path, SEGMENTS), describe(source, ()), 1, gdal.GDT_UInt32, 1)
    del copy
    one, other = open_raster(source), open_raster(path)
    assert alignment._same_grid(one, other) and alignment._same_grid(other, one)


@pytest.mark.parametrize("extension", ["tif", "cog.tif", "img"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_products_of_ground_control_points_lie_where_output_lies(tmp_path, extension, crs):
    path = with_points(tmp_path / "in.vrt", crs=crs)
    output = tmp_path / f"out.{extension}"
    _, result = run(path, output, polygons=str(tmp_path / "p.gpkg"), mean_image=str(tmp_path / "m.tif"), **QUICK)
    source, copy = gdal.Open(path), gdal.Open(str(output))
    for found in (copy, gdal.Open(str(tmp_path / "m.tif"))):
        assert [(p.GCPX, p.GCPY, p.GCPPixel, p.GCPLine) for p in found.GetGCPs()] == [
            (p.GCPX, p.GCPY, p.GCPPixel, p.GCPLine) for p in source.GetGCPs()
        ]
        assert found.GetGCPSpatialRef().IsSame(source.GetGCPSpatialRef())
    expected = corners((500000, 10, 0, 6000000, 0, -11))
    extent, system = box(tmp_path / "p.gpkg")
    assert extent == pytest.approx(expected)
    assert system.IsSame(source.GetGCPSpatialRef(), ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES"])
    tiles = [ogr.CreateGeometryFromWkb(tile.geometry).GetEnvelope() for tile in result.tiles]
    assert (min(t[0] for t in tiles), max(t[1] for t in tiles)) == pytest.approx(expected[:2])
    check_statistics(output, path, tmp_path)
    segment_polygons(PolygonsParameters(str(output), str(tmp_path / "q.gpkg"), execution="serial"), Feedback())
    assert box(tmp_path / "q.gpkg")[0] == pytest.approx(expected)


@pytest.mark.parametrize("extension", ["tif", "cog.tif", "img"])
def test_a_geotransform_stays_where_there_are_points_as_well(tmp_path, extension):
    path = with_points(tmp_path / "in.vrt", GEOTRANSFORM)
    assert gdal.Open(path).GetGCPCount() and gdal.Open(path).GetGeoTransform(can_return_null=True)
    output = tmp_path / f"out.{extension}"
    run(path, output, polygons=str(tmp_path / "p.gpkg"), **QUICK)
    assert geotransform(gdal.Open(str(output))) == pytest.approx(GEOTRANSFORM)
    assert gdal.Open(str(output)).GetSpatialRef().GetAuthorityCode(None) == "32630"
    assert box(tmp_path / "p.gpkg")[0] == pytest.approx(corners(GEOTRANSFORM))
    check_statistics(output, path, tmp_path)


@pytest.mark.parametrize("extension", ["tif", "cog.tif", "img"])
def test_sensor_models_are_carried_over(tmp_path, extension):
    numbers = dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"), "1.5")
    numbers.update(dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), "2"))
    for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"):
        numbers[f"{name}_COEFF"] = " ".join(str(0.25 * i) for i in range(1, 21))
    place = write_raster(tmp_path / "place.tif", scene())
    location = {"X_DATASET": "place.tif", "Y_DATASET": place, "X_BAND": "1", "Y_BAND": "2", "SRS": "EPSG:4326"}
    path = with_points(tmp_path / "in.vrt", domain={"RPC": numbers, "GEOLOCATION": location})
    output = tmp_path / "elsewhere" / f"out.{extension}"
    output.parent.mkdir()
    run(path, output, **QUICK)
    found = gdal.Open(str(output))
    model = found.GetMetadata("RPC")
    assert {name: [float(n) for n in model[name].split()] for name in numbers} == {
        name: [float(n) for n in value.split()] for name, value in numbers.items()
    }
    place = (tmp_path / "place.tif").as_posix()
    assert found.GetMetadata("GEOLOCATION") == {**location, "X_DATASET": place, "Y_DATASET": place}


def test_another_crs_or_other_points_are_another_grid(tmp_path):
    zones = [write_raster(tmp_path / f"{zone}.tif", scene(), crs=f"EPSG:{zone}") for zone in (32630, 32631)]
    points = [with_points(tmp_path / f"{shift:g}.vrt", shift=shift) for shift in (0.0, 7.0)]
    system = "+proj=geos +h=35785831 +lon_0={} +ellps=WGS84 +type=crs"  # which a GeoTIFF cannot keep
    disc = (-1e6, 3e4, 0, 1e6, 0, -3e4)
    discs = [placed(tmp_path / f"{lon}.vrt", system.format(lon), disc) for lon in (0, 41.5)]
    datums = [write_raster(tmp_path / f"{code}.tif", scene(), crs=f"EPSG:{code}") for code in (32632, 23032)]
    for one, other in (zones, points, discs, datums):
        assert not alignment._same_grid(open_raster(one), open_raster(other))
    with pytest.raises(SegmentationError, match="overlap|aligned"):
        statistics_of(*zones, tmp_path)


def test_values_that_lie_by_points_are_warped_as_they_are_shown(tmp_path):
    values = with_points(tmp_path / "v.vrt")
    segments = np.zeros((1, 44, 50), np.uint32)
    segments[0, 11:33, 5:45] = 1
    path = write_raster(tmp_path / "s.tif", segments)
    rows = (10 * (np.arange(44) + 0.5) / 11).astype(int)
    expected = scene()[0][rows][segments[0] == 1].mean()
    assert statistics_of(path, values, tmp_path) == {1: pytest.approx(expected)}


def test_an_assigned_crs_has_its_axes_as_rasters_have_them(tmp_path):
    system = osr.SpatialReference()
    system.ImportFromEPSG(4326)
    path = write_raster(tmp_path / "in.tif", scene(), crs=None, geotransform=DEGREES)
    polygons = str(tmp_path / "p.geojson")
    run(path, tmp_path / "out.tif", assign_crs=system.ExportToWkt(), polygons=polygons, **QUICK)
    found = gdal.Open(str(tmp_path / "out.tif"))
    assert geotransform(found) == DEGREES and spatial_reference(found).GetAuthorityCode(None) == "4326"
    assert box(polygons)[0] == pytest.approx(corners(DEGREES), abs=1e-6)
