"""Brings the docs up to date with the code and the figures; ``--check`` says what is stale and exits with 1."""

import sys

from pages import main

if __name__ == "__main__":
    sys.exit(main())
