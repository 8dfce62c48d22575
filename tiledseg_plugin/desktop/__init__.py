# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS Desktop: the panel and the dialog. Imported only where there is a GUI."""
