# SPDX-License-Identifier: GPL-2.0-or-later
"""One task after the other, in the calling thread."""


class Serial:
    """See `execution`."""

    name = "serial"
    workers = 1

    def run(self, task, common, items, check_cancelled):
        for item in items:
            check_cancelled()
            yield item, task(common, item, check_cancelled)

    def close(self):
        """Nothing is open."""
