"""MMSegmentation's inferencer for radiographs."""

from __future__ import annotations

from mmseg.apis import MMSegInferencer

from monai_place.mm.inferencing import RadiographInputs

__all__ = ["RadiographSegInferencer"]


class RadiographSegInferencer(RadiographInputs, MMSegInferencer):
    """`MMSegInferencer` that reads DICOM, NIfTI, PNG and JPEG by the config's `LoadRadiographFromFile`.

    Takes the arguments of MMSegmentation's class, which refuses such a config, and is called like it: with a file, a
    folder, an array, or a list of these. What it writes under `out_dir` is numbered in the order of the inputs.

    A folder's masks and pictures, in `found`::

        RadiographSegInferencer("config.py", "iter_2000.pth")("studies", out_dir="found")
    """
