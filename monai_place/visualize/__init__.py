"""Curves, ROC and precision-recall plots, retrieval sheets, grounding overlays, the run report."""
