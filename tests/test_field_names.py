# SPDX-License-Identifier: GPL-2.0-or-later
"""Fields of Shapefiles: distinct, no longer than the format takes, and as documented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from osgeo import ogr
from rasters import write_raster
from tiledseg.tiledseg_plugin.engine.files.field_names import LONGEST, field_names
from tiledseg.tiledseg_plugin.engine.files.tables import Column
from tiledseg.tiledseg_plugin.engine.products import segment_polygons as module
from tiledseg.tiledseg_plugin.engine.products.segment_polygons import PolygonsParameters, segment_polygons
from tiledseg.tiledseg_plugin.engine.progress import Feedback


def test_documented_names():
    names = ["tile_id", "valid_pixels", "valid_fraction", "merged_into", "median_1000", "majority_12", "std_12345"]
    short = ["tile_id", "valid_px", "valid_frac", "merged_in", "media_1000", "majorit_12", "std_12345"]
    assert field_names(names, "a.shp") == field_names(names, "A.SHP") == short
    assert field_names(names, "a.gpkg") == names


@given(
    st.lists(
        st.text(st.characters(min_codepoint=33, max_codepoint=500), min_size=1, max_size=25), unique_by=str.casefold
    )
)
def test_any_names_stay_distinct_and_short(names):
    short = field_names(names, "a.shp")
    assert len({name.casefold() for name in short}) == len(names)
    assert all(len(name.encode()) <= LONGEST for name in short)
    assert all(new == old for new, old in zip(short, names) if len(old.encode()) <= LONGEST)


@pytest.mark.parametrize("bands, extension", [(3, "shp"), (12, "shp"), (60, "shp"), (3, "SHP")])
def test_polygons_of_many_bands_keep_all_fields_apart(tmp_path, monkeypatch, bands, extension):
    ids = np.kron(np.arange(1, 7, dtype=np.uint32).reshape(2, 3), np.ones((9, 9), np.uint32))
    segments = write_raster(tmp_path / "s.tif", ids[None], nodata=0)
    values = np.arange(1, bands + 1)[:, None, None] * np.ones((bands, 18, 27))
    raster = write_raster(tmp_path / "v.tif", values)
    polygons_of = module.Polygons

    def with_long_names(rings, ids, sizes, columns, simplify):
        longer = [Column(f"majority_{n}", np.full(sizes.size, n * 1.0)) for n in range(97, 103)]
        return polygons_of(rings, ids, sizes, [*columns, *longer, Column("majority_long_2", sizes)], simplify)

    monkeypatch.setattr(module, "Polygons", with_long_names)
    path = str(tmp_path / f"p.{extension}")
    segment_polygons(PolygonsParameters(segments, path, values=raster, execution="serial"), Feedback())
    layer = (dataset := ogr.Open(path)).GetLayer(0)
    definition = layer.GetLayerDefn()
    found = [definition.GetFieldDefn(index).GetName() for index in range(definition.GetFieldCount())]
    assert len(set(found)) == len(found) == 2 + 4 * bands + 7
    feature = layer.GetNextFeature()
    for band in range(1, bands + 1):
        assert [feature[f"{name}_{band}"] for name in ("mean", "min", "max", "std")] == [band, band, band, 0]
    assert [feature[name] for name in ("majorit_98", "majori_100", "majori_102")] == [
        98,
        100,
        102,
    ]
    del layer, dataset
