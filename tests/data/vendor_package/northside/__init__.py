"""What is particular to the archive of Northside: its readers and transforms, beside monai-place's own."""

from northside.reading import ThreeFrameReader
from northside.steps import Clahed, CollimationCropd

__all__ = ["Clahed", "CollimationCropd", "ThreeFrameReader"]
