# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the panel at work in QGIS Desktop: `make screenshots`.

With the demo's image, and of every step with the example data in a light and a dark theme, at twice the resolution and
in German; LOOKS="dark german" for some of these.
"""

import os
import sys
import tempfile
from pathlib import Path

import desktop
import headless
from demo import FOLDER, aerial_image

PICTURES = headless.BUILD / "screenshots"
LOOKS = {
    "light": desktop.Look(),
    "dark": desktop.Look(settings={"UI/UITheme": "Night Mapping"}),
    "double": desktop.Look(scale=2),
    "german": desktop.Look(language="de"),
}


def chosen():
    """The names of the looks to take pictures of: LOOKS, which `make` sets to nothing where it is not given, or all."""
    names = os.environ.get("LOOKS", "").split() or list(LOOKS)
    for name in names:
        if name not in LOOKS:
            raise desktop.DesktopError(f"LOOKS={name} is not known: give some of {', '.join(LOOKS)}.")
    return names


def main():
    looks = chosen()
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["TILEDSEG_KERNELS"] = "plain"  # slow enough for a picture of the run at work
    raster = os.environ.get("RASTER") or aerial_image()
    with tempfile.TemporaryDirectory() as folder:
        session = desktop.drive("workflow", folder, 400, raster=raster, tile=128, screenshots=PICTURES)
    check(session)
    for name in looks:
        with tempfile.TemporaryDirectory() as folder:
            check(desktop.drive("tour", folder, 400, LOOKS[name], plain=True, screenshots=PICTURES / name))
    for picture in sorted(Path(PICTURES).rglob("*.png")):
        print(picture.relative_to(headless.ROOT))


def check(session):
    if session.returncode != 0:
        raise desktop.DesktopError(session.found.get("error") or session.stderr[-2000:])


if __name__ == "__main__":
    try:
        main()
    except (desktop.DesktopError, headless.HeadlessError) as error:
        sys.exit(str(error))
