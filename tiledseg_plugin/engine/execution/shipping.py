# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine for workers that do not have it: an archive, and functions that bring it to use where they run."""

import io
import os
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, Callable, Tuple

Code = Tuple[str, str, str]  # path of the archive, its digest, and the topmost package in it

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


def _place(package: str) -> str:
    return package.replace(".", "/")


def digest_of(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}{len(content):08x}"


def _bootstrap() -> Callable[[Code], Callable[[str], Any]]:
    """A function that a worker runs to have the engine; it is sent as it stands, so it names nothing from here."""

    def bootstrap(code: tuple) -> Any:
        import importlib
        import os
        import sys
        import tempfile
        import threading
        import zipfile

        archive, digest, package = code
        lock = sys.__dict__.setdefault("_tiledseg_lock", threading.Lock())
        with lock:
            home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
            for base in (home, tempfile.gettempdir()):
                folder = os.path.join(base, "tiledseg", "code", digest)
                if os.path.isdir(folder):
                    break
                try:
                    os.makedirs(os.path.dirname(folder), exist_ok=True)
                    fresh = tempfile.mkdtemp(dir=os.path.dirname(folder))
                    with zipfile.ZipFile(archive) as files:
                        files.extractall(fresh)
                    try:
                        os.rename(fresh, folder)
                    except OSError:  # another worker of this machine was quicker
                        import shutil

                        shutil.rmtree(fresh, ignore_errors=True)
                    break
                except PermissionError:
                    continue
            if sys.__dict__.get("_tiledseg_code") != digest:
                for name in [name for name in sys.modules if (name + ".").startswith(package + ".")]:
                    del sys.modules[name]
                sys.path[:] = [folder] + [path for path in sys.path if "tiledseg" + os.sep + "code" not in path]
                importlib.invalidate_caches()
                sys.__dict__["_tiledseg_code"] = digest
            return lambda name: importlib.import_module(package + name)

    return bootstrap


def _engine_prefix() -> str:
    """Of the engine's modules, after the name of the topmost package: `.tiledseg_plugin.engine`."""
    return ENGINE[ENGINE.index(".") :]


def task_caller() -> Callable[[Code, str, int, bytes], Any]:
    """The function that workers run for a task, by value."""
    bootstrap, prefix = _bootstrap(), _engine_prefix()

    def remote(code: tuple, path: str, index: int, item: bytes) -> Any:
        return bootstrap(code)(f"{prefix}.execution.dask_worker").perform(path, index, item)

    return remote


def greeting_caller() -> Callable[[Code, str], Any]:
    """The function that returns what a worker is and sees, by value."""
    bootstrap, prefix = _bootstrap(), _engine_prefix()

    def greeting(code: tuple, path: str) -> Any:
        return bootstrap(code)(f"{prefix}.execution.dask_worker").greet(path)

    return greeting
