"""A real data set that needs no download: scikit-learn's digits.

1,797 handwritten digits of 8x8 pixels in 17 grey levels. They are the test part
of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI
Machine Learning Repository, 1998.
"""

from typing import Any

import numpy as np


def digits():
  """Returns the digits, split in the same way every time.

  In each class, every fifth image in file order is a test image, beginning with
  the fifth. `from_arrays(*digits(), name="digits")` makes a `Source`.

  Returns:
    `(x_train, y_train, x_test, y_test)`: images [1442, 8, 8, 1] and
    [355, 8, 8, 1] uint8 0..255, labels [1442] and [355] int32.
  """
  from sklearn.datasets import load_digits

  data: Any = load_digits()
  images = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
  labels = data.target.astype(np.int32)
  test = np.zeros(len(labels), bool)
  for label in range(10):
    test[np.flatnonzero(labels == label)[4::5]] = True
  return images[~test], labels[~test], images[test], labels[test]
