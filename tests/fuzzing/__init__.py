# SPDX-License-Identifier: GPL-2.0-or-later
"""Random cases over the whole range of every parameter, run through the engine and held against a reference."""
