# SPDX-License-Identifier: GPL-2.0-or-later
"""Earlier and new outputs with their side files, and a process that ends at a given step of replacing them."""

import hashlib
import os
from pathlib import Path

from tiledseg.tiledseg_plugin.engine.files.ownership import OWNER
from tiledseg.tiledseg_plugin.engine.files.publish import attributes_path, publishing_together

STEPS = ("link", "replace", "rename", "unlink", "rmdir", "mkdir", "fsync")

# output: (files of the earlier one, files of the new one)
GROUPS = {
    "a.tif": (
        ["a.tif", "a.tif.aux.xml", "a.tif.ovr", "a_attributes.gpkg", "a_report.json"],
        ["a.tif", "a.tif.aux.xml", "a_report.json"],
    ),
    "m.img": (["m.img", "m.ige", "m.rrd"], ["m.img", "m.ige", "m.img.aux.xml"]),
    "sub/p.shp": (["sub/p.shp", "sub/p.shx", "sub/p.dbf", "sub/p.prj"], ["sub/p.shp", "sub/p.shx", "sub/p.dbf"]),
}

CASES = {"one": ["a.tif"], "alone": ["sub/p.shp"], "several": ["a.tif", "m.img", "sub/p.shp"]}

OTHERS = ["b.tif", "a2.tif", "sub/p2.shp", "a.txt"]


class Killed(BaseException):
    """Nothing that runs afterwards may help."""


def side_files(target):
    """What an earlier output of a kind may have beside it."""
    if target.suffix == ".shp":
        return [target.with_suffix(suffix) for suffix in (".shx", ".dbf", ".prj", ".cpg", ".qix", ".qpj")]
    paths = [Path(f"{target}{suffix}") for suffix in (".aux.xml", ".ovr", ".msk", "-wal", "-shm")]
    paths += [target.with_suffix(suffix) for suffix in (".ige", ".rrd") if target.suffix == ".img"]
    return [*paths, *([Path(attributes_path(target))] if target.suffix == ".tif" else [])]


def outputs_of(folder, names):
    return [(folder / name, name, side_files) for name in names]


def write_group(folder, names, word, index):
    for name in names:
        for file in GROUPS[name][index]:
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{word} {file}" * 50)


def prepare(folder, names, earlier=True):
    """The folder before the run: earlier outputs or none, and files of others."""
    (folder / "sub").mkdir(parents=True)
    for name in OTHERS:
        (folder / name).write_text("other " + name)
    if earlier:
        write_group(folder, names, "old", 0)


def publish_new(folder, names):
    with publishing_together(outputs_of(folder, names)) as paths:
        for name, path in zip(names, paths):
            for file in GROUPS[name][1]:
                (Path(path).parent / Path(file).name).write_text(f"new {file}" * 50)


def content(folder):
    """{name: hash} of all files, in hidden folders, too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def states(tmp_path, names, earlier=True):
    """The content before and after, as it must be at the end of everything."""
    before, after = tmp_path / "before", tmp_path / "after"
    prepare(before, names, earlier)
    prepare(after, names, False)
    write_group(after, names, "new", 1)
    return content(before), content(after)


class Steps:
    """Counts calls that change a folder or have it on the disk; `at(n, how)` lets the n-th one fail."""

    def __init__(self, monkeypatch):
        self.count, self.wanted, self.how, self.dead = 0, None, None, False
        self.marks = []  # files that a process which was killed would hold no more
        monkeypatch.setattr(os, "open", self._remember_marks(os.open))
        for name in STEPS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def at(self, number, how):
        self.count, self.wanted, self.how, self.dead = 0, number, how, False
        for mark in self.marks:
            try:
                os.close(mark)
            except OSError:
                continue
        self.marks = []

    def _counted(self, function):
        def step(*arguments, **options):
            if self.dead:
                raise Killed  # a process that is gone does nothing more
            self.count += 1
            if self.count == self.wanted:
                self.dead = self.how is Killed
                raise self.how
            return function(*arguments, **options)

        return step

    def _remember_marks(self, function):
        def open_and_remember(path, *arguments, **options):
            file = function(path, *arguments, **options)
            if str(path).endswith(OWNER):
                self.marks.append(file)
            return file

        return open_and_remember


def count_steps(steps, folder, names):
    steps.at(None, None)
    publish_new(folder, names)
    return steps.count
