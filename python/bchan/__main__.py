"""The `bchan` command, and `python -m bchan`.

The command needs click and rich, the library does not: without them it says what to install.
"""

import sys

NEEDED = ("click", "rich")


def main() -> None:
    """Run the command line, or say in one line what it lacks."""
    try:
        from bchan.cli import cli
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        sys.exit(f"bchan: {missing} is not installed, try: pip install 'bchan[bench]'")
    cli(prog_name="bchan")


if __name__ == "__main__":
    main()
