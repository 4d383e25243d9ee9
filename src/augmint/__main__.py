"""python -m augmint: the command line."""

from augmint.cli import main

main()
