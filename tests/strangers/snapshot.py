# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies in a folder, byte for byte, so that what an examination has changed is seen."""

import hashlib
import os
from typing import Dict, List, Tuple

Snapshot = Dict[bytes, Tuple[str, int]]


def snapshot(folder: str) -> Snapshot:
    """Of every file below a folder, by its path: its hash (of a link, where it points), and when it was changed."""
    found: Snapshot = {}
    for place, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(place, name)
            found[os.path.relpath(path, os.fsencode(folder))] = (_hash(path), os.lstat(path).st_mtime_ns)
    return found


def quick_snapshot(folder: str) -> Snapshot:
    """The same without hashes: the time of change of the entry itself, which nobody sets back, stands for them."""
    found: Snapshot = {}
    for place, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(place, name)
            status = os.lstat(path)
            found[os.path.relpath(path, os.fsencode(folder))] = (str(status.st_size), status.st_ctime_ns)
    return found


def _hash(path: bytes) -> str:
    if os.path.islink(path):
        return os.fsdecode(os.readlink(path))
    if not os.path.isfile(path):
        return ""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        return str(error)
    return digest.hexdigest()


def changes(before: Snapshot, after: Snapshot) -> List[str]:
    """What was added, removed or changed, as `added x`."""
    changed = []
    for path in sorted(before.keys() | after.keys()):
        kind = "added" if path not in before else "removed" if path not in after else "changed"
        if before.get(path) != after.get(path):
            changed.append(f"{kind} {os.fsdecode(path)!r}")
    return changed
