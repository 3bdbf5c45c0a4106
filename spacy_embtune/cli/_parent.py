"""End a command together with the program that started it."""

import os
import sys
import threading


def end_with_stdin() -> None:
    """End this process as soon as its standard input ends.

    A program that starts a command keeps the other end of standard input open. If the program
    ends, in whatever way, the operating system closes that end. The process then ends at once, as
    if it were killed: files are written whole or not at all.
    """
    threading.Thread(target=_wait_and_end, name="parent", daemon=True).start()


def _wait_and_end() -> None:
    # Not `sys.stdin`, which the interpreter locks when it ends.
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 1024):
        pass
    os._exit(1)
