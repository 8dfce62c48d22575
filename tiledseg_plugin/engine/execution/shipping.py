# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine for workers that do not have it: an archive, and functions that bring it to use where they run.

Whoever can write to WORK_DIR, where the archive lies, cannot change what workers run: they are told its digest by the
scheduler, and unpack nothing else. Nor can other users of a worker's machine: it is unpacked into a folder of the
user's caches or, where there is none, into one that nobody else may write to.
"""

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable, Tuple

from ..errors import SegmentationError

Code = Tuple[str, str, str]  # path of the archive, its digest, and the topmost package in it
Parcel = Tuple[str, str]  # path of a file, and the digest of what it must hold

ENGINE = __name__.rsplit(".", 2)[0]  # the engine's package, such as tiledseg.tiledseg_plugin.engine


def archive() -> bytes:
    """The engine's own files as a zip, with the `__init__` of the packages that it lies in."""
    folder = Path(__file__).resolve().parent.parent
    files = {f"{_place(ENGINE)}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*.py")}
    package = ENGINE
    while "." in package:
        package = package.rpartition(".")[0]
        files[f"{_place(package)}/__init__.py"] = Path(os.path.abspath(str(sys.modules[package].__file__)))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in sorted(files):
            file.writestr(zipfile.ZipInfo(name), files[name].read_bytes())
    return content.getvalue()


def collect(parcel: Parcel) -> bytes:
    """What a file holds, if it is what was put there: others may be able to write to WORK_DIR.

    Raises
    ------
    OSError : it is not there
    SegmentationError : it holds something else
    """
    path, digest = parcel
    content = Path(path).read_bytes()
    if digest_of(content) != digest:
        raise SegmentationError(
            f"{path} is not what the run has put there: check who may write to WORK_DIR, and run again."
        )
    return content


def _place(package: str) -> str:
    return package.replace(".", "/")


def digest_of(content: bytes) -> str:
    """By which bytes that went through a file are known to be the same."""
    return hashlib.sha256(content).hexdigest()


def _bootstrap() -> Callable[[Code], Callable[[str], Any]]:
    """A function that a worker runs to have the engine; it is sent as it stands, so it names nothing from here."""

    def bootstrap(code: tuple) -> Any:
        import hashlib
        import importlib
        import io
        import os
        import shutil
        import stat
        import sys
        import tempfile
        import threading
        import zipfile

        archive, digest, package = code

        def private(folder: str) -> bool:
            status = os.lstat(folder)
            own = not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)
            return stat.S_ISDIR(status.st_mode) and own

        def unpacked(base: str) -> str:
            """The folder in `base` that holds the engine; an OSError if it cannot be had there."""
            os.makedirs(base, mode=0o700, exist_ok=True)
            folder = os.path.join(base, digest)
            if not private(base) or (os.path.lexists(folder) and not private(folder)):
                raise PermissionError(f"others may write to {base}")
            if os.path.isdir(folder):
                return folder
            with open(archive, "rb") as file:
                content = file.read()
            if hashlib.sha256(content).hexdigest() != digest:
                raise RuntimeError(f"{archive} is not the archive that the run has sent")
            fresh = tempfile.mkdtemp(dir=base)
            try:
                with zipfile.ZipFile(io.BytesIO(content)) as files:
                    files.extractall(fresh)
                os.rename(fresh, folder)
            except OSError:
                shutil.rmtree(fresh, ignore_errors=True)
                if not os.path.isdir(folder):  # else another worker of this machine was quicker
                    raise
            return folder

        def places() -> list:
            home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
            name = f"tiledseg-code-{os.geteuid()}" if hasattr(os, "geteuid") else "tiledseg-code"
            found = [os.path.join(home, "tiledseg", "code")] if os.path.isabs(home) else []
            return [*found, os.path.join(tempfile.gettempdir(), name)]

        def bring() -> str:
            failures = []
            for base in places():
                try:
                    return unpacked(base)
                except OSError as error:
                    failures.append(error)
            raise failures[-1]

        lock = sys.__dict__.setdefault("_tiledseg_lock", threading.Lock())
        with lock:
            if sys.__dict__.get("_tiledseg_code") != digest:
                folder = bring()
                for name in [name for name in sys.modules if (name + ".").startswith(package + ".")]:
                    del sys.modules[name]
                before = sys.__dict__.get("_tiledseg_folder")
                sys.path[:] = [folder] + [path for path in sys.path if path != before]
                importlib.invalidate_caches()
                sys.__dict__["_tiledseg_folder"] = folder
                sys.__dict__["_tiledseg_code"] = digest
            return lambda name: importlib.import_module(package + name)

    return bootstrap


def _engine_prefix() -> str:
    """Of the engine's modules, after the name of the topmost package: `.tiledseg_plugin.engine`."""
    return ENGINE[ENGINE.index(".") :]


def task_caller() -> Callable[[Code, Parcel, int, bytes], Any]:
    """The function that workers run for a task, by value."""
    bootstrap, prefix = _bootstrap(), _engine_prefix()

    def remote(code: tuple, parcel: tuple, index: int, item: bytes) -> Any:
        return bootstrap(code)(f"{prefix}.execution.dask_worker").perform(parcel, index, item)

    return remote


def loading_caller() -> Callable[[Code, str, Tuple[str, ...]], None]:
    """The function that has a worker load the kernels, by value."""
    bootstrap, prefix = _bootstrap(), _engine_prefix()

    def loading(code: tuple, kernels: str, entries: tuple) -> None:
        bootstrap(code)(f"{prefix}.execution.worker").load_kernels(kernels, entries)

    return loading


def greeting_caller() -> Callable[[Code, str], Any]:
    """The function that returns what a worker is and sees, by value."""
    bootstrap, prefix = _bootstrap(), _engine_prefix()

    def greeting(code: tuple, path: str) -> Any:
        return bootstrap(code)(f"{prefix}.execution.dask_worker").greet(path)

    return greeting
