"""`python -m cloudq`: the command line."""

from cloudq.cli import main

main()
