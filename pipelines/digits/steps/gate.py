"""Says no, by its exit code, to a model that is not good enough."""
import argparse
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accuracy", type=float, required=True)
    parser.add_argument("--min", type=float, required=True)
    args = parser.parse_args()
    if args.accuracy >= args.min:  # false for nan as well
        print(f"pass: accuracy {args.accuracy:.4g} is at least {args.min:.4g}")
    else:
        print(f"refused: accuracy {args.accuracy:.4g} is below the threshold {args.min:.4g}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
