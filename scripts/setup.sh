#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what the demo and the tests need on Debian or Ubuntu: only what is missing, so a second call is quick.
# Arguments are further packages.
set -eu

needed="qgis python3-qgis gdal-bin python3-gdal python3-numpy python3-scipy python3-pytest
python3-hypothesis python3-dask python3-distributed python3-matplotlib python3-pil python3-pip python3-venv xvfb xauth
$*"
# compiled kernels and worker processes; not in every release, and the result is the same without them
wanted="python3-numba python3-pathos"

installed() {
    dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "Packages are missing, and installing them needs root or sudo: $missing" >&2
        exit 1
    fi
}

# Worker processes use pathos, which Debian has since release 13; without it threads are used, their tests skipped.
install_pathos() {
    /usr/bin/python3 -c "import pathos" 2>/dev/null && return
    echo "Installing: pathos (PyPI)"
    /usr/bin/python3 -m pip install -q --break-system-packages pathos 2>/dev/null ||
        /usr/bin/python3 -m pip install -q pathos ||
        echo "pathos cannot be installed here; threads are used instead of processes, with the same result." >&2
}

install() {
    # shellcheck disable=SC2086  # a list of packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

if ! command -v apt-get >/dev/null 2>&1; then
    echo "No apt-get here: QGIS 3.22 or later with Python, GDAL, scipy, pytest, hypothesis and matplotlib" \
         "are taken to be installed." >&2
    exit 0
fi

missing=""
for package in $needed; do installed "$package" || missing="$missing $package"; done
optional=""
for package in $wanted; do installed "$package" || optional="$optional $package"; done
# asked for once only: where a release has no such package, every call would look for it again
marker="$(dirname "$0")/../build/setup-without-optional"
[ -z "$missing" ] && { [ -z "$optional" ] || [ -e "$marker" ]; } && { install_pathos; exit 0; }

echo "Installing:$missing$optional"
as_root apt-get update -q || [ -z "$missing" ]
# shellcheck disable=SC2086
[ -z "$missing" ] || install $missing
for package in $optional; do
    install "$package" || {
        echo "$package is not to be had here: the result is the same without it." >&2
        mkdir -p "$(dirname "$marker")" && touch "$marker"
    }
done
install_pathos
