"""The command `bchan`, run in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from bchan.tools.cli import main


class Done(NamedTuple):
    """What came of a run."""

    code: int
    out: str
    err: str


def run(*arguments: str) -> Done:
    """Run it to its end."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            if isinstance(end.code, str):
                err.write(f"{end.code}\n")
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Done(code, out.getvalue(), err.getvalue())
