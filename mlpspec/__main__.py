"""``python -m mlpspec``."""

import sys

from mlpspec.cli import main

if __name__ == "__main__":
    sys.exit(main())
