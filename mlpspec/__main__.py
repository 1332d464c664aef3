"""The command ``mlpspec``, which is ``python -m mlpspec``."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):
    # `python -m` looks for modules in the working directory first: a script there that is called
    # like one must not be run. Only where the package itself lies there it stays, as the last.
    here = sys.path.pop(0)
    if os.path.samefile(os.path.dirname(os.path.dirname(__file__)), here or "."):
        sys.path.append(here)

try:
    from mlpspec.cli.command import main
except KeyboardInterrupt:  # while modules load; later `main` looks after it
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
