"""``python -m hipdet``: the command ``hipdet``."""

from hipdet.cli.main import main

if __name__ == "__main__":
    main()
