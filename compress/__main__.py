"""`python -m compress` is `squeeze-compress`: what torchrun starts."""

from compress.cli import main

main()
