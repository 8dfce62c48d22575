# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the panel at work in QGIS Desktop, with the demo's image: `make screenshots`."""

import os
import sys
import tempfile
from pathlib import Path

import desktop
import headless
from demo import FOLDER, aerial_image

PICTURES = headless.BUILD / "screenshots"


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["TILEDSEG_KERNELS"] = "plain"  # slow enough for a picture of the run at work
    raster = os.environ.get("RASTER") or aerial_image()
    with tempfile.TemporaryDirectory() as folder:
        session = desktop.drive("workflow", folder, 400, raster=raster, tile=128, screenshots=PICTURES)
    if session.returncode != 0:
        raise desktop.DesktopError(session.found.get("error") or session.stderr[-2000:])
    for picture in sorted(Path(PICTURES).glob("*.png")):
        print(picture.relative_to(headless.ROOT))


if __name__ == "__main__":
    try:
        main()
    except (desktop.DesktopError, headless.HeadlessError) as error:
        sys.exit(str(error))
