"""`python -m monai_place` is the command `monai-place`, for where its folder is not on the PATH."""

from monai_place.cli import main

main()
