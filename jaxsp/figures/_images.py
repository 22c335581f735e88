"""The real images of the figures: scikit-learn's digits, or files that the user names."""

from typing import NamedTuple

from .. import inputs
from ._registry import Context


class Images(NamedTuple):
    """Prepared images with labels of two classes, and what to call them."""

    name: str
    law: inputs.DataInputs


def images(context: Context) -> Images:
    """Even against odd labels, of `context.images` if it is given, and of the digits otherwise.

    Raises:
        ValueError: if a file cannot be read.
    """
    if context.images is None:
        name, (pixels, labels) = "digits", inputs.digits()
    else:
        name = context.images.name.split(".")[0]
        pixels, labels = inputs.load_images(context.images, context.image_labels)
    return Images(name, inputs.DataInputs(pixels, inputs.parity(labels)))
