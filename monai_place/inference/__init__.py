"""PLACEPredictor: embed, classify, retrieve and ground from files."""
