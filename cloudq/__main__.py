"""`python -m cloudq`: the command line."""

import sys

from cloudq.cli import main

if __name__ == "__main__":
    sys.exit(main())
