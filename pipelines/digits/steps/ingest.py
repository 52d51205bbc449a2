"""Takes the digits that come with scikit-learn, checks them, and splits them into a training and a test set."""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

try:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
except ImportError as error:
    sys.exit(f"{sys.executable}: {error}. The top of pipeline.yaml says how to give the steps scikit-learn.")

from common import log_metric, set_output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", type=float, required=True, help="share of the images, 0 to 1")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    images, digits = load_digits(return_X_y=True)
    problems = []
    if images.ndim != 2 or images.shape[1] != 64 or len(images) != len(digits):
        problems.append(f"64 pixels an image and one digit each are expected, not {images.shape} and {digits.shape}")
    if not np.isfinite(images).all() or images.min() < 0 or images.max() > 16:
        problems.append("pixels must be numbers from 0 to 16")
    if set(np.unique(digits)) != set(range(10)):
        problems.append("every digit from 0 to 9 must occur, and nothing else")
    if problems:
        sys.exit("\n".join(problems))

    train_images, test_images, train_digits, test_digits = train_test_split(
        images.astype(np.float32), digits.astype(np.int64),
        test_size=args.test, random_state=args.seed, stratify=digits)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_name(f".{os.getpid()}.npz")
    np.savez_compressed(temporary, train_images=train_images, train_digits=train_digits,
                        test_images=test_images, test_digits=test_digits)
    os.replace(temporary, args.out)

    set_output(train=len(train_digits), test=len(test_digits))
    log_metric("rows", len(digits))
    print(f"{len(digits)} images: {len(train_digits)} to train on, {len(test_digits)} to test with (seed {args.seed})")


if __name__ == "__main__":
    main()
