# SPDX-License-Identifier: GPL-2.0-or-later
"""How a check or a run has ended, in full sentences for the panel, the message bar and the log."""

from typing import Any, Callable, Dict, List

from ...algorithms.text import tr
from ..compat import is_null
from .tasks import AlgorithmRun


def of_run(run: AlgorithmRun, succeeded: bool) -> str:
    """The end of a segmentation."""
    if not succeeded:
        return _without_results(run)
    results, values = run.results, run.parameters
    count, seconds = int(results["SEGMENT_COUNT"]), results["SECONDS"]
    text = tr("1 segment in {:.1f} s.").format(seconds) if count == 1 else ""
    text = text or tr("{:,} segments in {:.1f} s.").format(count, seconds)
    if run.was_cancelled:
        text = tr("The run had finished before it could be cancelled, its output is there: {}").format(text)
    small = int(results["UNDERSIZED_SEGMENTS"])
    return f"{text} {undersized(small, values)}" if small else text


def undersized(count: int, values: Dict[str, Any]) -> str:
    """Why segments stay below the minimum size."""
    limit = values.get("DISTANCE_THRESHOLD")
    unlimited = limit is None or is_null(limit)
    why = _isolated() if unlimited else tr("{}, or {}").format(_too_different(limit), _isolated())
    if count == 1:
        return tr("1 of them stayed below {} pixels: {}.").format(values["MIN_PIXELS"], why)
    return tr("{:,} of them stayed below {} pixels: {}.").format(count, values["MIN_PIXELS"], why)


def _too_different(limit: Any) -> str:
    return tr("no neighbour is within the distance threshold of {:g}").format(float(limit))


def _isolated() -> str:
    return tr("no other segment touches them")


def of_preview(preview: Any, is_cut: bool, values: Dict[str, Any], worded: Callable[[str], str] = str) -> str:
    """What a preview shows, how large the segments are, and which parameters have no effect.

    Parameters
    ----------
    preview : see `engine.preview.Preview`
    is_cut : whether it is only the centre of the view
    worded : how a message of the engine is worded
    """
    window, sizes = preview.window, preview.sizes
    text = tr("Preview: 1 segment") if preview.segments == 1 else tr("Preview: {:,} segments").format(preview.segments)
    text += tr(" in {} × {} pixels").format(window.width, window.height)
    text += tr(", the centre of the view, which is too large to be shown whole: zoom in.") if is_cut else "."
    if sizes.count:
        text += " " + tr("Their median size is {:,.0f} pixels.").format(sizes.median)
    if sizes.undersized:
        reasons = []
        if sizes.undersized > sizes.isolated:
            reasons.append((sizes.undersized - sizes.isolated, _too_different(values.get("DISTANCE_THRESHOLD") or 0)))
        if sizes.isolated:
            reasons.append((sizes.isolated, _isolated()))
        why = reasons[0][1] if len(reasons) == 1 else "; ".join(tr("of {:,} {}").format(*one) for one in reasons)
        text += " " + tr("{:,} would stay below {} pixels: {}.").format(sizes.undersized, values["MIN_PIXELS"], why)
    return " ".join([text, *map(worded, preview.notes)])


def of_check(run: AlgorithmRun, succeeded: bool) -> str:
    """The end of a check; what it has found is in `checks.summary`."""
    return tr("The tiles are checked.") if succeeded else _without_results(run)


def _without_results(run: AlgorithmRun) -> str:
    if not run.was_cancelled:
        return tr("Failed: {}").format(run.error)
    if run.feedback.error:
        return tr("Cancelled, and besides: {}").format(run.feedback.error)
    if not is_null(run.parameters.get("WORK_DIR")):
        return tr("Cancelled: no output was written, and the work folder holds what the next run can go on from.")
    return tr("Cancelled: no output was written.")


def notices(run: AlgorithmRun) -> List[str]:
    """What a run has said that matters also to whoever does not read its log, each once."""
    return list(dict.fromkeys(run.feedback.notices))
