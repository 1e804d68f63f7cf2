"""Image encoder, report encoder, pathology observation extractor, correlation head and their union, PLACE."""
