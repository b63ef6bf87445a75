"""The `bchan` command, and `python -m bchan`."""

from bchan.tools.cli import main

if __name__ == "__main__":
    main()
