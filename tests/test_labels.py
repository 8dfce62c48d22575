# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages before a form name parameters by their labels; on the command line they go by their ids. Small wordings."""

import collections

import pytest

pytest.importorskip("osgeo.gdal")

from tiledseg.tiledseg_plugin.engine.progress import rounded_time  # noqa: E402
from tiledseg.tiledseg_plugin.engine.resources import choose_workers  # noqa: E402
from tiledseg.tiledseg_plugin.engine.wording import counted  # noqa: E402


@pytest.mark.parametrize(
    "message, shown",
    [
        ("MIN_PIXELS is '0', which is not right", "'Minimum segment size' is '0', which is not right"),
        ("INPUT (Raster to segment) is missing: give a value.", "'Raster to segment' is missing: give a value."),
        ("lower WORKERS, TILE_WIDTH or TILE_HEIGHT.", "lower 'Workers', 'Tile width' or 'Tile height'."),
        ("separate numbers by semicolons, as in BANDS=1;3.", "separate numbers by semicolons, as in 1;3."),
        ("/data/INPUT/OUTPUT.tif cannot be read.", "/data/INPUT/OUTPUT.tif cannot be read."),
        ("the file 'TILES' and TEMPORARY_OUTPUT", "the file 'TILES' and TEMPORARY_OUTPUT"),
        ("5 smaller than MIN_PIXELS.", "5 smaller than 'Minimum segment size'."),
    ],
)
def test_ids_become_labels_but_names_of_files_stay(algorithm, message, shown):
    from tiledseg.algorithms.labels import labelled

    assert labelled(message, algorithm.parameterDefinitions()) == shown


def test_outside_of_qgis_desktop_messages_keep_their_ids(algorithm):
    from qgis.core import QgsProcessingContext

    accepted, reason = algorithm.checkParameterValues({"INPUT": "nowhere.tif", "MIN_PIXELS": 0}, QgsProcessingContext())
    assert not accepted and reason.startswith("MIN_PIXELS is '0'")


def test_no_two_parameters_of_an_algorithm_have_the_same_label(plugin):
    for algorithm in plugin.provider.algorithms():
        labels = collections.Counter(one.description() for one in algorithm.parameterDefinitions())
        twice = [label for label, count in labels.items() if count > 1]
        assert not twice or hasattr(algorithm, "FILE"), (algorithm.id(), twice)  # a model


def test_help_can_be_read_on_a_dark_ground(plugin):
    """The dialog's style sheet gives <p> and <b> greys of their own, whatever the theme."""
    for algorithm in plugin.provider.algorithms():
        if hasattr(algorithm, "FILE"):
            continue  # the help of models is QGIS's own making
        assert "<b>" not in algorithm.shortHelpString() and "<p>" not in algorithm.shortHelpString(), algorithm.id()


@pytest.mark.parametrize("number, text", [(0, "0 segments"), (1, "1 segment"), (2, "2 segments")])
def test_one_is_singular(number, text):
    assert counted(number, "segment") == text


def test_parts_of_work_are_named_only_where_they_are_known():
    assert "part" not in choose_workers(0, None, 1, 4, 10**9).reason
    assert "1 part of work;" in choose_workers(0, 1, 1, 4, 10**9).reason
    assert choose_workers(0, None, 1, 4, 10**9).count == 4


def test_a_time_that_goes_by_is_said_in_few_words():
    texts = [rounded_time(seconds / 5) for seconds in range(5 * 120, 0, -1)]
    said = [text for text, before in zip(texts, ["", *texts]) if text != before]
    assert len(said) == len(set(said)) <= 14 and said[0] == "2 min" and said[-1] == "5 s"


def test_a_text_is_passed_on_once(algorithm):
    """Each is a line in the log of the toolbox."""
    from tiledseg.algorithms.feedback import ProcessingFeedback

    class Dialog:
        def __init__(self):
            self.lines = []

        def setProgressText(self, text):
            self.lines.append(text)

    dialog = Dialog()
    feedback = ProcessingFeedback(dialog)
    for text in ("Polygons, about 30 s left", "Polygons, about 30 s left", "Polygons, about 20 s left"):
        feedback.set_progress_text(text)
    assert dialog.lines == ["Polygons, about 30 s left", "Polygons, about 20 s left"]
