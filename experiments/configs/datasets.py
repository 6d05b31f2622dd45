"""What a data set changes in a configuration of the matching methods."""

from typing import NamedTuple


class Dataset(NamedTuple):
  """Attributes:
    spec: SPEC.
    mean, std: of the pixels, for each channel, as the DC family has them.
    depth: of the ConvNet, so that its last map is 4x4.
    mirrored: whether a mirrored image is of the same class.
    reference_side: of the images that IDC's published step size is for, in
      pixels.
  """

  spec: str
  mean: tuple[float, ...]
  std: tuple[float, ...]
  depth: int = 3
  mirrored: bool = True
  reference_side: int = 32

  @property
  def strategy(self) -> str:
    """Of differentiable augmentation."""
    names = ["color", "crop", "cutout", "flip", "scale", "rotate"]
    return "_".join(n for n in names if self.mirrored or n != "flip")


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
DATASETS = {
    "mnist": Dataset(
        "idx:mnist", (0.1307,), (0.3081,), mirrored=False, reference_side=28
    ),
    "fashion_mnist": Dataset("idx:fashion_mnist", (0.2861,), (0.3530,)),
    "cifar10": Dataset(
        "npz:cifar10.npz", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    ),
    "cifar100": Dataset(
        "tfds:cifar100", (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)
    ),
    "svhn": Dataset(
        "tfds:svhn_cropped", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970),
        mirrored=False,
    ),
    "tiny_imagenet": Dataset("tfds:tiny_imagenet", *_IMAGENET, depth=4),
}
