"""The command ``mlpspec``, which is ``python -m mlpspec``."""

import sys

try:
    from mlpspec.cli.command import main
except KeyboardInterrupt:  # while modules load; later `main` looks after it
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
