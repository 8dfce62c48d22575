# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files a run writes, replaces and deletes: known, and held against its inputs and each other, before it starts.

What stands at the name of an output is replaced, with the side files that belong to it: those that bear its whole name
(`a.tif.ovr`), those that GDAL lists for it (`a.rrd`), and those of ours that are known by their content
(`a_report.json`). A file of the user's that only happens to have such a name is never touched: the run is refused.
"""

import errno
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Tuple

from osgeo import gdal

from ..errors import SegmentationError, why
from ..report import report_path
from .attribute_table import keeps_table_as_xml
from .dataset_files import DATABASE as DATABASE_NAME
from .dataset_files import Dataset, FileSet, listed_files, paths_in
from .foreign import load_json, open_file
from .formats import is_cog
from .gdal_access import collected_errors
from .on_windows import LONGEST_PATH, fault_of_name
from .publish import attributes_path, nothing_else, recover_beside, staging
from .segment_style import is_ours as is_our_style
from .segment_style import style_path

SEGMENTS = "segments"  # with attribute table and report
IMAGE = "image"
VECTOR = "vector"  # a table, too
DATABASE = "database"  # a file that gets a table more
UPDATED = "updated"  # segments whose attribute table gets columns
RASTER_SIDES = (".aux.xml", ".ovr", ".msk")
DATABASE_SIDES = ("-journal", "-wal", "-shm")
FAMILIES = {  # what a vector format puts beside its file, or reads there
    ".shp": (".shx", ".dbf", ".prj", ".cpg", ".qix", ".qpj", ".sbn", ".sbx", ".idm", ".ind"),
    ".tab": (".dat", ".map", ".id", ".ind"),
    ".mif": (".mid",),
    ".gml": (".xsd", ".gfs"),
}
DATABASES = (".gpkg", ".sqlite", ".db")
WORLD_FILES = {"TFW": ".tfw", "WORLDFILE": ".wld"}  # creation options
WORLD_FILE_ASKED = re.compile(r"(?:^|\|)\s*(TFW|WORLDFILE)\s*=\s*(?:YES|TRUE|ON|1)", re.I)
DEFAULT_LAYER = ".gpkg"  # what QGIS adds to a name without extension
PROVIDER = re.compile(r"^[a-z]\w+:(?![/\\])", re.I)  # of QGIS, such as memory: and postgis:
PLAIN_COG = ".plain.aux.xml"  # while a cloud optimized GeoTIFF is made
TYPES = re.compile(r'^\s*"?(Integer|Integer64|Real|String|Date|Time|DateTime|WKT|Coord\w)\b', re.I)

# what the system says of the disk or of who may write to it, whatever the name is
NOT_OF_THE_NAME = {
    errno.ENOSPC,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    getattr(errno, "EDQUOT", errno.ENOSPC),
}

Belongs = Callable[[Path, Path], bool]


@dataclass(frozen=True)
class Output:
    """An output of a run, with what is needed to check it before the run and to write it.

    name : id of the parameter, for messages
    path : may be empty: there will be none, or its place is not known yet
    kind : SEGMENTS, IMAGE, VECTOR, DATABASE or UPDATED
    options : the user's creation options, `|`-separated
    updates : id of the input that is meant to be changed, for UPDATED
    assign_crs : WKT of the CRS that it gets; empty for that of the input
    """

    name: str
    path: str
    kind: str
    options: str = ""
    updates: str = ""
    assign_crs: str = ""

    @property
    def target(self) -> Path:
        return Path(os.path.abspath(self.path))

    def at(self, path: str) -> "Output":
        """The same output at the place where it is written before it gets its name."""
        return replace(self, path=path)


@dataclass(frozen=True)
class SideFile:
    """A file that a run may put beside an output.

    belongs : function (target, path), whether the file at `path` is a part of the output that stands at `target`
    """

    path: Path
    belongs: Belongs


def _with_target(target: Path, path: Path) -> bool:
    return os.path.lexists(target)


def _listed(target: Path, path: Path) -> bool:
    return os.path.exists(target) and str(path) in FileSet(listed_files(str(target)))


def _is_metadata(target: Path, path: Path) -> bool:
    """QGIS leaves such files behind when it deletes a raster; they are about nothing but the raster of that name."""
    return _with_target(target, path) or b"<PAMDataset" in _head(path)


def _is_report(target: Path, path: Path) -> bool:
    with suppress(OSError, ValueError):
        content = load_json(path)
        return isinstance(content, dict) and {"parameters", "results", "versions"} <= content.keys()
    return False


def is_attribute_table(path: str) -> bool:
    """Whether a GeoPackage is the attribute table of a raster of ours, and not only called like one."""
    with collected_errors():
        dataset = gdal.OpenEx(path, gdal.OF_VECTOR) if os.path.isfile(path) else None
        if dataset is None or dataset.GetLayerCount() != 1:
            return False
        fields = dataset.GetLayer(0).GetLayerDefn()
        names = [fields.GetFieldDefn(index).GetName() for index in range(min(fields.GetFieldCount(), 2))]
        del fields, dataset
    return names == ["segment", "Histogram"]


def _is_table(target: Path, path: Path) -> bool:
    return is_attribute_table(str(path))


def _is_style(target: Path, path: Path) -> bool:
    return is_our_style(str(path))


def _is_types(target: Path, path: Path) -> bool:
    return TYPES.match(_head(path).decode("utf-8", "replace")) is not None


def _head(path: Path) -> bytes:
    with suppress(OSError), open_file(path) as file:
        return file.read(4096)
    return b""


def layer_output(name: str, given: str) -> Output:
    """A vector layer that QGIS writes: a file, a table in one, or nothing on disk (memory, a database server)."""
    database = DATABASE_NAME.search(given)
    if database:
        return Output(name, paths_in(database.group())[0], DATABASE)
    if PROVIDER.match(given):
        return Output(name, "", VECTOR)
    return Output(name, given if not given or Path(given).suffix else given + DEFAULT_LAYER, VECTOR)


def side_files(output: Output) -> List[SideFile]:
    """What a run may write beside an output, there or not."""
    target, suffix = output.target, output.target.suffix.lower()
    if output.kind == VECTOR:
        sides = [SideFile(target.with_suffix(end), _with_target) for end in FAMILIES.get(suffix, ())]
        if suffix == ".csv":
            sides.append(SideFile(target.with_suffix(".csvt"), _is_types))
        if suffix in DATABASES:
            sides += [SideFile(Path(f"{target}{end}"), _with_target) for end in DATABASE_SIDES]
        return sides
    if output.kind == DATABASE:
        return [SideFile(Path(f"{target}{end}"), _with_target) for end in DATABASE_SIDES]
    sides = [SideFile(Path(f"{target}{end}"), _with_target) for end in RASTER_SIDES[1:]]
    sides.append(SideFile(Path(f"{target}{RASTER_SIDES[0]}"), _is_metadata))
    if suffix == ".img":
        sides.append(SideFile(target.with_suffix(".ige"), _listed))
    for name in WORLD_FILE_ASKED.findall(output.options):
        sides.append(SideFile(target.with_suffix(WORLD_FILES[name.upper()]), _with_target))
    if output.kind in (SEGMENTS, UPDATED) and suffix in (".tif", ".tiff"):
        table = Path(attributes_path(str(target)))
        sides += [
            SideFile(table, _is_table),
            *(SideFile(Path(f"{table}{end}"), _is_of_table) for end in DATABASE_SIDES),
        ]
    if output.kind == SEGMENTS:
        sides.append(SideFile(Path(report_path(str(target))), _is_report))
        style = style_path(str(target))
        if is_our_style(style) or not os.path.lexists(style):  # one of the user's stays, and none is written
            sides.append(SideFile(Path(style), _is_style))
    return sides


def _is_of_table(target: Path, path: Path) -> bool:
    """Of the journal of a database: whether the database is ours."""
    return is_attribute_table(re.sub("-[a-z]+$", "", str(path)))


def _given_up(output: Output) -> List[Path]:
    """Side files that an earlier output may have and that no run makes today; one goes only if GDAL lists it."""
    return [output.target.with_suffix(".rrd")] if output.target.suffix.lower() == ".img" else []


def names_of(output: Output) -> Iterator[Path]:
    """All files that a run writes, replaces or deletes for an output."""
    yield output.target
    yield from (side.path for side in side_files(output))
    yield from (path for path in _given_up(output) if _listed(output.target, path))


def replaced_files(output: Output) -> Callable[[Path], List[Path]]:
    """For `publish.publishing`: a function that returns what goes away with the output that is replaced.

    Raises
    ------
    SegmentationError : from that function: a file that is no part of it has turned up in the way
    """

    def replaced(target: Path) -> List[Path]:
        _check_way(output)
        there = [side.path for side in side_files(output) if os.path.lexists(side.path)]
        return there + [path for path in _given_up(output) if _listed(target, path)]

    return replaced


def _sides_with_table(target: Path) -> List[Path]:
    """The files beside a raster of which one is replaced when its attribute table gets columns."""
    return [Path(f"{target}{RASTER_SIDES[0]}"), Path(attributes_path(str(target)))]


def check_files(outputs: Sequence[Output], inputs: Sequence[Tuple[str, str]]) -> None:
    """Refuse outputs that would harm an input, each other or a file of the user's, or that cannot be written.

    Parameters
    ----------
    outputs : those without a path are passed over
    inputs : (id of the parameter, source) of each; those without a source are passed over

    Raises
    ------
    SegmentationError : nothing has been touched
    """
    given = [output for output in outputs if output.path]
    recover_beside(*(output.path for output in given))
    for output in given:
        _check_place(output)
    for dataset in [Dataset(name, source) for name, source in inputs if source]:
        for output in given:
            _check_input(output, dataset)
    for index, output in enumerate(given):
        for other in given[:index]:
            _check_pair(other, output)
    for output in given:
        _check_way(output)
        _check_names(output)


def _check_place(output: Output) -> None:
    target = output.target
    if not target.parent.is_dir():
        raise SegmentationError(
            f"The folder {target.parent} of {output.name} does not exist: make it, or choose another."
        )
    wrong = fault_of_name(target.name)
    if wrong:
        raise SegmentationError(f"The name of {output.name} {output.path} {wrong}: choose another.")
    if target.is_dir():
        raise SegmentationError(f"{output.name} {output.path} is a folder: give a file name in it.")


def _check_input(output: Output, dataset: Dataset) -> None:
    if output.updates == dataset.name:
        return
    for path in names_of(output):
        if not dataset.holds(str(path)):
            continue
        if output.kind == UPDATED:
            raise SegmentationError(
                f"{output.name} would change {path}, which is a file of {dataset.name} {dataset.source}: switch it off."
            )
        if path != output.target:
            what = f"would replace {path}, a file of {dataset.name} {dataset.source}"
        elif str(path) in FileSet([dataset.source]):
            what = f"is the input itself, {dataset.name}"
        else:
            what = f"is a file of {dataset.name} {dataset.source}"
        raise SegmentationError(f"{output.name} {output.path} {what}: choose another name.")


def _check_pair(one: Output, other: Output) -> None:
    files = FileSet(str(path) for path in names_of(one))
    if str(other.target) in FileSet([str(one.target)]):
        raise SegmentationError(
            f"Two outputs have one name ({one.name} {one.path} and {other.name} {other.path}): give each its own."
        )
    for path in names_of(other):
        if str(path) in files:
            raise SegmentationError(
                f"{one.name} {one.path} and {other.name} {other.path} would both write {path}: give one of them "
                "another name."
            )


def _check_way(output: Output) -> None:
    """Refuse an output where a file of the user's lies in the way of one of its side files."""
    if output.kind in (DATABASE, UPDATED):
        return
    for side in side_files(output):
        if os.path.lexists(side.path) and (side.path.is_dir() or not side.belongs(output.target, side.path)):
            raise SegmentationError(
                f"{side.path} is in the way of {output.name} {output.path}, to which it does not belong: move it, or "
                "choose another name."
            )


def _check_names(output: Output) -> None:
    """Refuse names that cannot be given to files in the folder, and a folder that cannot be written to."""
    names = [output.target.name, *(side.path.name for side in side_files(output))]
    if is_cog(output.path):
        names.append(output.target.name + PLAIN_COG)
    replaced, itself = replaced_files(output), True
    if output.kind == DATABASE:
        replaced, itself = nothing_else, False
    elif output.kind == UPDATED:
        replaced, itself = _sides_with_table, not keeps_table_as_xml(output.path)
    with staging(output.path, output.updates or output.name, replaced, itself) as folder:
        for name in names:
            try:
                (folder / name).touch()
                (folder / name).unlink()
            except OSError as error:
                if error.errno in NOT_OF_THE_NAME:
                    raise SegmentationError(
                        f"The folder {output.target.parent} of {output.name} cannot be written to ({why(error)}): make "
                        "room, or choose another."
                    ) from error
                too_long = error.errno == errno.ENAMETOOLONG or (
                    sys.platform == "win32" and len(str(folder / name)) >= LONGEST_PATH
                )
                fault = "too long" if too_long else f"not possible ({why(error)})"
                raise SegmentationError(
                    f"The name of {output.name} {output.path} is {fault} for its folder, which has to hold "
                    f"{name}, too: choose another."
                    if name != output.target.name
                    else f"The name of {output.name} {output.path} is {fault} for its folder: choose another."
                ) from error
