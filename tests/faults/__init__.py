# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults on purpose: what goes wrong in a run is made to go wrong, at every place, and its ending is judged."""
