# SPDX-License-Identifier: GPL-2.0-or-later
"""Example data: a scene that the plugin draws itself, the same one everywhere, to try things on."""
