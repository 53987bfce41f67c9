"""The program `entrepot`, also as `python -m entrepot`."""

import sys

from entrepot.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
