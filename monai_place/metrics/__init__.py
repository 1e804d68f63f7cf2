"""Retrieval, zero-shot classification, grounding and the diagnostics of PLACE."""
