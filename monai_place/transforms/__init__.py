"""MONAI dictionary transforms for studies: reading, text, geometry, augmentation."""
