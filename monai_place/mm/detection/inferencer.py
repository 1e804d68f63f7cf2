"""MMDetection's inferencer for radiographs."""

from __future__ import annotations

from typing import Any

from mmdet.apis import DetInferencer

from monai_place.mm.inferencing import RadiographInputs

__all__ = ["RadiographDetInferencer"]


class RadiographDetInferencer(RadiographInputs, DetInferencer):
    """`DetInferencer` that reads DICOM, NIfTI, PNG and JPEG by the config's `LoadRadiographFromFile`.

    Takes the arguments of MMDetection's class, which refuses such a config, and is called like it: with a file, a
    folder, an array, or a list of these. What it writes under `out_dir` is numbered in the order of the inputs and not
    named after the files, since these names may tell of a patient.

    A folder's predictions and pictures, in `found`::

        RadiographDetInferencer("config.py", "epoch_12.pth")("studies", out_dir="found", no_save_pred=False)
    """

    def pred2dict(self, data_sample: Any, pred_out_dir: str = "") -> dict[str, Any]:
        """Return a prediction as plain numbers, written to `preds/NUMBER.json` where a folder is given."""
        unnamed = {key: value for key, value in data_sample.metainfo.items() if key != "img_path"}
        return super().pred2dict(data_sample.new(metainfo=unnamed), pred_out_dir)
