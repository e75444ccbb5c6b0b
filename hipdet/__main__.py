"""``python -m hipdet`` runs the command ``hipdet``."""

from hipdet.cli.main import main

if __name__ == "__main__":
    main()
