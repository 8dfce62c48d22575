# SPDX-License-Identifier: GPL-2.0-or-later
"""UPDATE_RAT of shapes: columns that are there already, and those of a larger raster."""

import numpy as np
from rasters import Log, read
from test_attributes import table_of
from test_update_table import cut_out, segments, update  # noqa: F401
from tiledseg.tiledseg_plugin.engine.products.present_columns import PresentColumns
from tiledseg.tiledseg_plugin.engine.products.segment_shape import ShapeParameters, segment_shape


def test_shapes_of_a_part_of_a_raster_do_not_replace_those_of_the_whole_which_are_named_as_stale(tmp_path, segments):  # noqa: F811
    path, raster = segments
    segment_shape(ShapeParameters(str(path), update_rat=True, execution="serial"), Log())
    whole, _ = table_of(path)
    part = cut_out(path, tmp_path / f"part{path.suffix}", (30, 40, 70, 61))
    ids, log = read(part), Log()
    segment_shape(ShapeParameters(str(part), update_rat=True, execution="serial"), log)
    found, _ = table_of(part)
    assert np.array_equal(found["area"], whole["area"])
    present = np.unique(ids[ids > 0])
    assert np.array_equal(found["shape_pixels"][present], np.bincount(ids.ravel())[present])
    assert any(
        "The attribute table has a column area already: the new one is called shape_area." in x for x in log.lines
    )
    (warned,) = [line for line in log.lines if "stale" in line]
    assert "mean_1" in warned
    log = Log()
    update(part, raster, log)
    assert not any("stale" in line for line in log.lines)  # all counts are right by now


def test_columns_of_objects_are_known_as_ours():
    ours = [
        "area",
        "shape_area",
        "x_inside",
        "min_y",
        "share_wood",
        "greatest_difference_3",
        "neighbours_perimeter",
        "on_edge",
    ]
    assert PresentColumns([*ours, "x", "class", "areas"], lambda name: None).stale(["on_edge"]) == ours[:-1]
