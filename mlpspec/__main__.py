"""The command ``mlpspec``, which is ``python -m mlpspec``."""

import atexit
import gc
import sys

gc.set_threshold(100_000)  # to search for cycles every 700 objects takes a tenth of all loading
atexit.register(gc.freeze)  # a process that ends need not search all it has loaded for cycles

try:
    from mlpspec.cli.command import main
except KeyboardInterrupt:  # while modules load; later `main` looks after it
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
