"""`python -m subduce` is the command `subduce`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
