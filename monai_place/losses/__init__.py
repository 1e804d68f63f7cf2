"""Instance alignment, pathology alignment, correlation exploration, their sum, and the gather across ranks."""
