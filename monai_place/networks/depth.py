"""How deep a parameter of a vision transformer lies, for a learning rate that falls from the head to the image."""

from __future__ import annotations

__all__ = ["vit_layer_depth"]

EMBEDDINGS = ("patch_embed.", "pos_embed", "cls_token", "dist_token", "reg_token", "norm_pre.")


def vit_layer_depth(name: str, blocks: int) -> tuple[int, int]:
    """Return the layer of a parameter, 0 for the embedding, and the number of layers.

    Args:
        name: of the parameter within timm's VisionTransformer; one that is not of it counts as the last layer.
        blocks: of the transformer.

    Example:
        >>> [vit_layer_depth(name, 12)[0] for name in ("pos_embed", "blocks.0.mlp.fc1.weight", "norm.weight")]
        [0, 1, 13]
    """
    layers = blocks + 2
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1, layers
    return (0 if name.startswith(EMBEDDINGS) else layers - 1), layers
