"""Benchmark suites: tasks x data sets x label fractions x seeds, over several checkpoints, into one table."""

from __future__ import annotations

from monai_place.suites.run import plan_suite, run_suite
from monai_place.suites.tables import SuiteTable

__all__ = ["SuiteTable", "plan_suite", "run_suite"]
