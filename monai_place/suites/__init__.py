"""Benchmark suites: tasks x data sets x label fractions x seeds, over several checkpoints, into one table."""

from __future__ import annotations

from monai_place.suites.spec import SuiteSpec, read_suite

__all__ = ["SuiteSpec", "read_suite"]
