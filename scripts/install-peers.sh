#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs the peers of the benchmark that are Debian packages. The others have to be built or fetched by hand.
set -eu

if ! command -v apt-get >/dev/null 2>&1; then
    echo "No apt-get here: install Orfeo Toolbox and GRASS by other means, so that they are on PATH." >&2
    exit 1
fi
root=""
if [ "$(id -u)" -ne 0 ]; then root=sudo; fi
$root apt-get update -q
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends otb-bin grass-core
echo "pyshepseg and RSGISLib are not in Debian: see 'make bench BENCH=--help' for how they are found."
