# What the detectors share. The recipe fills in what depends on the encoder and on the data.
data_preprocessor = dict(
    type="DetDataPreprocessor",
    mean=[127.5] * 3,  # of the weights: 0.5 and 0.25 of the range
    std=[63.75] * 3,
    bgr_to_rgb=False,  # the channels are equal
    pad_size_divisor=32,
)
