"""Steps between the reading of a picture and the network's square."""

import cv2
import numpy as np
import torch
from monai.transforms import MapTransform, SpatialCrop


class CollimationCropd(MapTransform):
    """Cut off the dark border that the collimator leaves.

    `SpatialCrop` keeps the picture's affine, from which masks, boxes and heat maps follow.

    Args:
        keys: of pictures (1, H, W) in [0, 1].
        dark: a row or column whose brightest pixel is no brighter is border.
        allow_missing_keys: skip a key that is missing.
    """

    def __init__(self, keys, dark=0.05, allow_missing_keys=False):
        super().__init__(keys, allow_missing_keys)
        self.dark = dark

    def __call__(self, data):
        d = dict(data)
        for key in self.key_iterator(d):
            lit = np.asarray(d[key][0]) > self.dark
            rows, columns = lit.any(axis=1).nonzero()[0], lit.any(axis=0).nonzero()[0]
            if len(rows):  # a black picture stays as it is
                crop = SpatialCrop(roi_start=(rows[0], columns[0]), roi_end=(rows[-1] + 1, columns[-1] + 1))
                d[key] = crop(d[key])
        return d


class Clahed(MapTransform):
    """Equalize the contrast within tiles, up to a limit (CLAHE); no pixel moves.

    Args:
        keys: of pictures (1, H, W) in [0, 1].
        limit: of the contrast.
        tiles: tiles of a side.
        allow_missing_keys: skip a key that is missing.
    """

    def __init__(self, keys, limit=2.0, tiles=8, allow_missing_keys=False):
        super().__init__(keys, allow_missing_keys)
        self.limit = limit
        self.tiles = tiles

    def __call__(self, data):
        d = dict(data)
        for key in self.key_iterator(d):
            # Made here: OpenCV's object cannot go to a worker process.
            equalize = cv2.createCLAHE(self.limit, (self.tiles, self.tiles))
            levels = np.rint(np.asarray(d[key][0]) * 65535).astype(np.uint16)
            equal = torch.from_numpy(equalize.apply(levels).astype(np.float32) / 65535)[None]
            d[key] = _like(d[key], equal)
        return d


def _like(image, values):
    """Return values with the metadata of an image, the affine among them."""
    return type(image)(values).copy_meta_from(image) if hasattr(image, "copy_meta_from") else values
