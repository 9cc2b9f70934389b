"""`python -m vggrepro` is the command `vggrepro`."""

import sys

from vggrepro.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
