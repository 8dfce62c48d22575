# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: '1 segment', '2 segments'.

    Parameters
    ----------
    noun : in the singular
    plural : where it is not the singular with an s
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
