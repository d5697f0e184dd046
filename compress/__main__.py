"""`python -m compress` is `squeeze-compress`: what torchrun starts."""

from compress.cli import main

if __name__ == "__main__":
    main()
