# SPDX-License-Identifier: GPL-2.0-or-later
"""The search: statistics -> clusters -> areas -> candidates in each area -> ranks, table and report."""

import time
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import execution, kernels
from ..errors import SegmentationError, why
from ..execution.runner import Runner
from ..files.formats import TABLES
from ..files.gdal_access import modest_cache
from ..files.output_files import VECTOR, Output, check_files, replaced_files
from ..files.publish import publishing_together, recover_beside
from ..files.raster import Raster, describe
from ..files.tables import write_table
from ..files.work_folder import WorkFolder
from ..kernels.contract import Kernels
from ..kernels.entries import entries_of_run
from ..progress import Feedback, Progress
from ..resources import MEGABYTE, choose_workers, worker_memory
from ..stages.context import Context
from ..stages.plan import Plan, plan_grid
from ..stages.polygon_pixels import PlacedPolygon, place
from ..stages.polygon_tiles import polygons_in_pixels
from ..stages.statistics import Summary, Survey, find_centres, survey, take_sample
from ..stages.tiles import PixelJob
from ..wording import counted
from . import areas as parts
from .areas import Area
from .candidates import OF_REFERENCE, Candidate, Clustering, PolygonLayer, SearchParameters
from .measuring import AreaMeasures, SearchJob, Task, measure_area
from .pictures import Shown, window_to_show
from .ranking import Judged, columns_of, different, judge, polygon_columns, rank
from .report import Content, Picture, write_search_report

STAGES = {"statistics": 15, "candidates": 75, "report": 5}
BYTES_A_PIXEL = 60  # of a task, besides what a tile of a run needs: values as float64, and sums
SHOWN = 3  # of the best


@dataclass(frozen=True)
class SearchResult:
    """What a search returns besides its files.

    best : the best candidate; score : its value of the criterion, NaN where there is none
    """

    best: Candidate
    score: float
    candidate_count: int
    area_count: int
    polygon_count: int
    seconds: float


class Layers(NamedTuple):
    """The user's polygons, None where there are none."""

    regions: Optional[PolygonLayer] = None
    reference: Optional[PolygonLayer] = None


def outputs_of(parameters: SearchParameters) -> List[Output]:
    """The files of a search; what is not asked for has no path."""
    return [
        Output("OUTPUT", parameters.output, VECTOR),
        Output("REPORT", parameters.report, VECTOR),
        Output("POLYGON_TABLE", parameters.polygon_table, VECTOR),
    ]


def check_search(parameters: SearchParameters, sources: Sequence[Tuple[str, str]], has_reference: bool) -> Raster:
    """Refuse parameters and inputs that are wrong, and outputs that would harm other files.

    Parameters
    ----------
    sources : (id of the parameter, file) of the polygon layers
    """
    parameters.check()
    recover_beside(parameters.input)
    raster = describe(
        parameters.input, parameters.bands, parameters.nodata_rule, nodata=parameters.nodata, extent=parameters.extent
    )
    for name, path in (("OUTPUT", parameters.output), ("POLYGON_TABLE", parameters.polygon_table)):
        if path:
            TABLES.driver_of(path, name)
    if parameters.report and not parameters.report.lower().endswith((".html", ".htm")):
        raise SegmentationError(f"REPORT {parameters.report} is no HTML file: give a name that ends in .html.")
    check_files(outputs_of(parameters), [("INPUT", parameters.input), *sources])
    if not has_reference and (parameters.criterion in OF_REFERENCE or parameters.polygon_table):
        what = f"CRITERION={parameters.criterion}" if parameters.criterion in OF_REFERENCE else "POLYGON_TABLE"
        raise SegmentationError(f"{what} needs reference polygons: give REFERENCE, or leave it at its default.")
    return raster


def find_parameters(parameters: SearchParameters, layers: Layers, feedback: Feedback) -> SearchResult:
    """Segment all candidates in some areas, measure them, and write what was found.

    Raises
    ------
    SegmentationError : one sentence on what is wrong; nothing that was there has been changed
    Cancelled : the user cancelled; likewise
    """
    with modest_cache:
        return _Search(parameters, layers, feedback).run()


class _Search:
    """One search: its steps in their order, each with what those before it have found."""

    def __init__(self, parameters: SearchParameters, layers: Layers, feedback: Feedback) -> None:
        self.started = time.monotonic()
        given = [("REGIONS", layers.regions), ("REFERENCE", layers.reference)]
        sources = [(name, layer.source) for name, layer in given if layer is not None]
        self.raster = check_search(parameters, sources, layers.reference is not None)
        self.parameters, self.feedback = parameters, feedback
        self.progress = Progress(feedback, STAGES)
        self.regions, self.reference = (self._placed(layer, name) for name, layer in given)
        self.criterion = parameters.criterion
        if self.criterion == "auto":
            self.criterion = "rms" if self.reference else "f_measure"
        self.margin = parts.margin_for(parameters.sizes)
        size = parameters.window_size
        self.plan = plan_grid(self.raster.width, self.raster.height, size, size)
        self.where: List[str] = []

    def _placed(self, layer: Optional[PolygonLayer], name: str) -> List[PlacedPolygon]:
        if layer is None:
            return []
        if not layer.polygons:
            raise SegmentationError(f"{name} has no polygons: choose another layer, or leave it empty.")
        systems = layer.raster_crs, layer.crs
        found = place(polygons_in_pixels(self.parameters.input, layer.polygons, systems, name), self.raster.origin)
        if not any(one.window.intersection(self.raster.window) for one in found):
            raise SegmentationError(f"No polygon of {name} lies over EXTENT: give another layer or extent.")
        return found

    def run(self) -> SearchResult:
        """All steps."""
        parameters, progress = self.parameters, self.progress
        for note in self.raster.notes:
            self.feedback.notice(note)
        progress.start("statistics", "Starting")
        kernel = self._kernel()
        workers = self._workers()
        folder = WorkFolder("", {})
        runner = execution.create("threads", workers)
        try:
            job = self._learn(kernel, runner, folder)
            self._say_where(job.areas, workers)
            found = self._try_all(job, runner)
        finally:
            runner.close()
            folder.close(True)
        judged = judge(parameters, found, [len(pixels.centres) for pixels in job.pixels])
        if self.reference and judged[0].reference is None:
            raise SegmentationError("No polygon of REFERENCE has a valid pixel: check the layer and the no-data value.")
        ordered = rank(judged, self.criterion)
        self._remark(ordered[0])
        progress.start("report", "Writing the report")
        self._write(job, judged, ordered)
        progress.complete()
        return self._result(job, ordered)

    def _kernel(self) -> Kernels:
        entries: Dict[str, None] = {}
        for stretch, number in self.parameters.clusterings:
            entries.update(dict.fromkeys(entries_of_run(self.raster.dtype, len(self.raster.bands), stretch, number)))
        kernel, note = self.progress.in_background(
            lambda check, advance: kernels.choose(self.parameters.kernels, check, list(entries), calm=False),
            "Loading the kernels",
            (0.0, 0.0),
        )
        self.feedback.info(note)
        return kernel

    def _workers(self) -> int:
        """How many tasks are done at a time."""
        parameters, memory = self.parameters, self._task_memory()
        pieces = len(self.regions) or parameters.windows or len(parts.whole_raster(self.raster, self.margin))
        chosen = choose_workers(parameters.workers, len(parameters.clusterings) * pieces, memory)
        if chosen.warning:  # whose remedy is none here
            self.feedback.warning(
                f"{counted(chosen.count, 'worker')} may need {chosen.count * memory // MEGABYTE} MB, more than may be "
                "free: lower WORKERS or WINDOW_SIZE if memory runs out."
            )
        return chosen.count

    def _task_memory(self) -> int:
        """Bytes that a task may need: an area with its margin, never more than the largest part."""
        raster, parameters = self.raster, self.parameters
        side = parts.SIDE if self.regions or not parameters.windows else parameters.window_size
        width, height = (min(side + 2 * self.margin, whole) for whole in (raster.width, raster.height))
        stretched = all(one.stretch for one in parameters.clusterings)
        tile = worker_memory(width, height, len(raster.bands), raster.dtype, stretched)
        return tile + BYTES_A_PIXEL * width * height

    def _learn(self, kernel: Kernels, runner: Runner, folder: WorkFolder) -> SearchJob:
        """Statistics, clusters and areas."""
        parameters, raster, progress = self.parameters, self.raster, self.progress
        whole = plan_grid(raster.width, raster.height, raster.width, raster.height)
        summary = survey(Survey(raster, self.plan, parameters.sampling, folder), runner, progress)
        summary.require_data(raster)
        areas = self._areas(summary, kernel, folder)
        pixels = []
        for clustering in parameters.clusterings:
            colours = summary.colours(raster, clustering.stretch)
            context = Context(parameters.of(clustering), raster, whole, kernel, runner, progress)
            centres = find_centres(context, take_sample(context, summary, colours, folder))
            pixels.append(PixelJob(raster, whole, colours, centres, parameters.kernels))
        return SearchJob(raster, tuple(areas), tuple(pixels), summary.bands, parameters.thresholds, parameters.sizes)

    def _areas(self, summary: Summary, kernel: Kernels, folder: WorkFolder) -> List[Area]:
        """Where candidates are measured; `where` gets the sentence that says so."""
        parameters, raster = self.parameters, self.raster
        valid = sum(summary.valid_pixels.values())
        count, size = parameters.windows, parameters.window_size
        if self.regions:
            self.where.append(f"Measured in {counted(len(self.regions), 'polygon')} of REGIONS.")
            found = parts.in_regions(raster, self.regions, self.margin)
        elif not count or valid <= count * size * size:
            self.where.append(f"Measured in the whole raster, {raster.size}.")
            found = parts.whole_raster(raster, self.margin)
        else:
            found = self._windows(self.plan, summary, kernel, folder)
        parts.require_areas(found, raster)
        return self._with_reference(found) if self.reference else found

    def _windows(self, plan: Plan, summary: Summary, kernel: Kernels, folder: WorkFolder) -> List[Area]:
        parameters, raster = self.parameters, self.raster
        size = f"{plan.tiles[0].window.width} x {plan.tiles[0].window.height} pixels"
        if self.reference:
            tiles = parts.windows_of_reference(plan, self.reference, parameters.windows)
            self.where.append(
                f"Measured in {counted(len(tiles), 'window')} of about {size}, those with most reference polygons."
            )
        else:
            sampled = self.progress.in_background(
                lambda check, advance: parts.land_covers(summary, raster, folder, kernel, check),
                "Choosing windows",
                (0.8, 0.8),
            )
            tiles = parts.chosen_windows(raster, plan, summary.valid_pixels, sampled, parameters.windows)
            self.where.append(
                f"Measured in {counted(len(tiles), 'window')} of about {size}, spread over the valid area and chosen "
                "so that together they hold what the raster holds."
            )
        return parts.areas_of(raster, tiles, self.margin)

    def _with_reference(self, areas: Sequence[Area]) -> List[Area]:
        found = parts.with_reference(areas, self.reference)
        used, there = sum(len(area.reference) for area in found), len(self.reference)
        if not used:
            raise SegmentationError(
                "No polygon of REFERENCE lies as a whole where candidates are measured: set WINDOWS=0, or give REGIONS "
                "round the polygons."
            )
        self.where.append(f"{used} of {counted(there, 'reference polygon')} lie there as a whole.")
        return found

    def _say_where(self, areas: Sequence[Area], workers: int) -> None:
        for sentence in self.where:
            self.feedback.info(sentence)
        self.feedback.info(
            f"{counted(len(self.parameters.candidates), 'candidate')}, {counted(len(areas), 'area')}, "
            f"{counted(workers, 'worker')}, about {self._task_memory() // MEGABYTE} MB each."
        )

    def _try_all(self, job: SearchJob, runner: Runner) -> List[List[Optional[AreaMeasures]]]:
        """What every task found, [clustering][area]."""
        progress = self.progress
        progress.start("candidates", "Trying candidates")
        found: List[List[Optional[AreaMeasures]]] = [[None] * len(job.areas) for _ in job.pixels]
        tasks = [Task(area, one) for area in range(len(job.areas)) for one in range(len(job.pixels))]
        results = runner.run(measure_area, job, tasks, progress.listening_to(runner))
        for done, (task, measures) in enumerate(results, 1):
            found[task.clustering][task.area] = measures
            progress.advance(done / len(tasks), f"Trying candidates, {done} of {len(tasks)} parts")
        if not any(measures is not None for measures in found[0]):
            raise SegmentationError(
                f"{self.raster.path} has no valid pixel where candidates are measured: check REGIONS and the no-data "
                "value."
            )
        return found

    def _remark(self, best: Judged) -> None:
        """Say what the user should know about the best candidate."""
        sizes, numbers = self.parameters.sizes, sorted(set(self.parameters.num_clusters))
        for name, values, value in (
            ("MIN_PIXELS", sizes, best.candidate.min_pixels),
            ("NUM_CLUSTERS", numbers, best.candidate.num_clusters),
        ):
            if len(values) > 1 and value in (values[0], values[-1]):
                end, beyond = ("greatest", "greater") if value == values[-1] else ("least", "smaller")
                sentence = f"The best {name}, {value}, is the {end} of those tried: try {beyond} ones, too."
                self.where.append(sentence)
                self.feedback.notice(sentence)
        if np.isnan(best.value(self.criterion)):
            self.feedback.warning(
                f"No candidate has a value of {self.criterion}, as none makes two segments that touch: the first one "
                "stands for the best."
            )

    def _write(self, job: SearchJob, judged: Sequence[Judged], ordered: Sequence[Judged]) -> None:
        """The files: all of them are there in the end, or none."""
        pictures = self._pictures(job, ordered) if self.parameters.report else []
        content = Content(self.raster.path, ordered, self.criterion, self.where, pictures)
        check = self.progress.check_cancelled
        given = [output for output in outputs_of(self.parameters) if output.path]
        with publishing_together([(one.path, one.name, replaced_files(one)) for one in given]) as paths:
            for output, path in zip(given, paths):
                if output.name == "OUTPUT":
                    write_table(path, columns_of(judged), check)
                elif output.name == "POLYGON_TABLE":
                    write_table(path, polygon_columns(judged), check)
                else:
                    _write_report(path, content)

    def _pictures(self, job: SearchJob, ordered: Sequence[Judged]) -> List[Picture]:
        """The best three that differ, in the middle of the first area."""
        shown = Shown(job, window_to_show(job.areas[0]), self.progress.check_cancelled)
        clusterings = list(self.parameters.clusterings)
        found = []
        for row in different(ordered, SHOWN):
            stretch, number, threshold, size = row.candidate
            clustering = clusterings.index(Clustering(stretch, number))
            found.append(Picture(row, shown.picture(clustering, threshold, size)))
        return found

    def _result(self, job: SearchJob, ordered: Sequence[Judged]) -> SearchResult:
        best = ordered[0]
        seconds = time.monotonic() - self.started
        limit = best.candidate.distance_threshold
        threshold = "no DISTANCE_THRESHOLD" if limit is None else f"DISTANCE_THRESHOLD={limit:g}"
        self.feedback.info(
            f"Best of {counted(len(ordered), 'candidate')} by {self.criterion}: "
            f"NUM_CLUSTERS={best.candidate.num_clusters}, MIN_PIXELS={best.candidate.min_pixels}, {threshold}, "
            f"STRETCH={'true' if best.candidate.stretch else 'false'}, in {seconds:.1f} s."
        )
        polygons = 0 if best.reference is None else best.reference.polygons
        score = best.value(self.criterion)
        return SearchResult(best.candidate, score, len(ordered), len(job.areas), polygons, seconds)


def _write_report(path: str, content: Content) -> None:
    try:
        write_search_report(path, content)
    except OSError as error:
        raise SegmentationError(
            f"REPORT cannot be written ({why(error)}): make room, or choose another folder."
        ) from error
