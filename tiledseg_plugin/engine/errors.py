# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run may end with besides a result."""

import re

LINE_END = re.compile(r"\s*[\r\n]+\s*")


class SegmentationError(Exception):
    """One sentence for the user, on one line: what is wrong, where, and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(LINE_END.sub(" ", sentence.strip()))  # what GDAL and the system say may have several


class Cancelled(Exception):
    """The user cancelled the run."""


def why(error: OSError) -> str:
    """What the system says about an error, as part of a sentence; numpy says it without a number."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")
