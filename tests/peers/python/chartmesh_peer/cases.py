"""Counts what held and what did not."""

import contextlib
import sys
import time
import traceback


class Cases:
    def __init__(self):
        self.passed, self.failed = 0, 0

    @contextlib.contextmanager
    def case(self, name: str):
        begun = time.monotonic()
        try:
            yield
        except Exception:  # A case that fails is told, and the next one runs.
            self.failed += 1
            print(f"FAILED  {name}")
            traceback.print_exc(file=sys.stdout)
        else:
            self.passed += 1
            print(f"ok      {name}  ({time.monotonic() - begun:.2f} s)")

    def finish(self) -> int:
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def holds(condition: bool, what: str):
    if not condition:
        raise AssertionError(what)
