# SPDX-License-Identifier: GPL-2.0-or-later
"""Strangers' rasters: a set of odd ones made by code, and an examination of any raster, for tests and `make odd`.

`making` and the modules `made_*` make the set; `rule` says independently of the engine what is valid in a raster;
`checks` hold results against arrays; `examination` runs every operation on a raster; `isolation` puts each
examination into a process with limits and sorts how it ended; `command` is what `make odd` calls.
"""
