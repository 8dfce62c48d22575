# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones in QGIS Desktop: a layer in memory in the panel's field, and what check, preview and run say of it."""

import pytest
from in_desktop import in_desktop

pytestmark = [pytest.mark.desktop, pytest.mark.slow, pytest.mark.alone]
NO_EFFECT = "'Distance threshold' is 1000, but no two colours of this raster are further apart than 510: it has no"


@pytest.fixture(scope="module")
def zones(tmp_path_factory):
    return in_desktop("zones", tmp_path_factory.mktemp("zones"))


def test_a_field_of_zones_begins_empty(zones):
    assert zones["kept empty"] is None


def test_check_preview_and_run_leave_out_what_is_in_no_zone(zones):
    assert "48 tiles: 32 empty" in zones["checked"]
    without, segments = zones["preview"]
    assert [segments, 1500 * 1200 - without] == zones["run"]


def test_panel_says_which_parameters_have_no_effect(zones):
    assert NO_EFFECT in zones["previewed"]
    assert [NO_EFFECT in text for text in zones["said"]] == [True]
