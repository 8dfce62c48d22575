# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine: arrays, rasters and files, never QGIS."""
