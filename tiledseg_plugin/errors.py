# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run may end with besides a result."""


class SegmentationError(Exception):
    """One sentence for the user: what is wrong, where, and what to do."""


class Cancelled(Exception):
    """The user cancelled the run."""
