"""Variations of the training images: rotation to RandAugment, keyed by seed, epoch and sample.

>>> augment = Augment.parse("rotation:40 shift:0.2 shear:0.2 zoom:0.2 hflip fill:nearest")
>>> print(augment)
rotation:40 shift:0.2 shear:0.2 zoom:0.2 hflip fill:nearest
"""

from striate.data.augment.spec import Augment

__all__ = ["Augment"]
