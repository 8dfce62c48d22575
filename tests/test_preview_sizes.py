# SPDX-License-Identifier: GPL-2.0-or-later
"""What a preview says about sizes, counted by hand."""

import numpy as np
import pytest

pytest.importorskip("osgeo.gdal")

from tiledseg.tiledseg_plugin.engine.kernels import plain  # noqa: E402
from tiledseg.tiledseg_plugin.engine.preview_sizes import Sizes, sizes_in_view  # noqa: E402

IDS = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [1, 2, 2, 0, 4, 1],
        [1, 2, 2, 0, 0, 0],
        [1, 1, 1, 0, 5, 0],
        [1, 3, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
    ],
    np.uint32,
)
EVERYWHERE, NOWHERE = (True,) * 4, (False,) * 4


def test_only_segments_that_are_wholly_in_view_count():
    # 2 has 4 pixels; 3, 4 and 5 have one; 1 goes on beyond the view
    assert sizes_in_view(IDS, EVERYWHERE, 3, plain) == Sizes(4, 1.0, 3, 1, (3, 0, 1))


def test_at_the_edge_of_the_raster_nothing_is_cut():
    found = sizes_in_view(IDS, NOWHERE, 3, plain)
    assert (found.count, found.undersized, found.isolated) == (5, 3, 1)
    assert found.histogram == (3, 0, 1, 0, 1)  # 1 has 22 pixels


@pytest.mark.parametrize("side, cut", [(0, (True, False, False, False)), (3, (False, False, False, True))])
def test_each_side_is_looked_at_for_itself(side, cut):
    ids = np.array([[1, 2, 3], [1, 2, 3], [4, 4, 4]], np.uint32)
    expected = {0: 2, 3: 3}[side]  # without 1 and 4; without 4
    assert sizes_in_view(ids, cut, 1, plain).count == expected


def test_where_all_is_cut_the_parts_count():
    assert sizes_in_view(np.ones((3, 4), np.uint32), EVERYWHERE, 20, plain) == Sizes(1, 12.0, 1, 1, (0, 0, 0, 1))


def test_without_data_there_is_nothing_to_tell():
    assert sizes_in_view(np.zeros((3, 4), np.uint32), EVERYWHERE, 20, plain) == Sizes(0, 0.0, 0, 0, ())
