"""Waiting for what comes about by itself."""

import time


def eventually(check, seconds=30, pause=0.05):
    """Whether check() became true."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
