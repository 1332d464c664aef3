"""The command ``mlpspec``, which is ``python -m mlpspec``."""

import atexit
import gc
import sys

atexit.register(gc.freeze)  # a process that ends need not search all it has loaded for cycles

try:
    from mlpspec.cli import main
except KeyboardInterrupt:  # while modules load; later `main` looks after it
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
