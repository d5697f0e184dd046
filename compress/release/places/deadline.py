"""An end for a call that has none of its own, or only one for each of its steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

MIN_BYTES_PER_S = 20_000  # that a transfer must make, beyond its timeout


def within(seconds: float, function: Callable[[], Result], *, late: Callable[[Result | None], None] | None = None) -> Result:
    """What `function` returns or raises. Raises TimeoutError where it takes longer: its thread is left behind.

    late: is then called in that thread, when the function has ended after all, with what it returned, None where it raised.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    decided, is_left = threading.Lock(), threading.Event()

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # raised again in the thread that waits
            error = raised
        with decided:
            if error is not None:
                errors.append(error)
            else:
                results.append(result)  # type: ignore[arg-type]  # None only where that is what the function returned
        if is_left.is_set() and late is not None:
            late(result)

    thread = threading.Thread(target=run, daemon=True)  # so that it does not keep the process
    thread.start()
    thread.join(max(0.0, seconds))
    with decided:
        if not (results or errors):
            is_left.set()
            raise TimeoutError
    if errors:
        raise errors[0]
    return results[0]
