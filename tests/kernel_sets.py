# SPDX-License-Identifier: GPL-2.0-or-later
"""Both sets of kernels, as tests ask for them."""

import numpy as np
import pytest
from hypothesis import settings
from tiledseg.tiledseg_plugin.engine.kernels import choose, plain


def _load_compiled():
    try:
        return choose("compiled")[0], ""
    except Exception as error:
        return None, str(error)


compiled, why_not = _load_compiled()
needs_compiled = pytest.mark.skipif(compiled is None, reason=f"no compiled kernels: {why_not}")
available = ["plain"] if compiled is None else ["compiled", "plain"]  # names of sets, the quickest first
both_sets = pytest.mark.parametrize(
    "kernels", [plain, pytest.param(compiled, marks=needs_compiled)], ids=["plain", "compiled"]
)
examples = settings(max_examples=80, deadline=None)


def assert_same(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
