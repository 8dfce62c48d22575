# SPDX-License-Identifier: GPL-2.0-or-later
"""The stages of a run, in order: plan, statistics, tiles, graph, write."""
