# SPDX-License-Identifier: GPL-2.0-or-later
"""`tiledseg:parameters`: candidates are segmented in some areas, measured and ranked."""
