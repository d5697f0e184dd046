import os
import signal
import threading

import pytest

from compress.train import interrupts
from compress.train.interrupts import Interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_only_noted(number):
    with Interrupts() as heard:
        assert not heard.asked
        os.kill(os.getpid(), number)
        assert heard.asked
        os.kill(os.getpid(), number)  # at once: the same request, from a launcher


def test_a_second_request_ends_the_process_as_ever(monkeypatch):
    monkeypatch.setattr(interrupts, "ONE_REQUEST", -1.0)
    with Interrupts() as heard:
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_come_back_after_an_error():
    with pytest.raises(ZeroDivisionError), Interrupts():
        raise ZeroDivisionError


def test_a_handler_that_is_not_pythons(monkeypatch):
    """signal.signal then says None, and does not take it back."""
    real = signal.signal
    monkeypatch.setattr(interrupts.signal, "signal", lambda number, handler: real(number, handler) and None)
    with Interrupts():
        pass
    monkeypatch.undo()
    assert [signal.getsignal(number) for number in SIGNALS] == [signal.SIG_DFL] * 2
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_outside_of_the_main_thread_nothing_is_caught():
    found = []

    def body():
        with Interrupts() as heard:
            found.append(signal.getsignal(signal.SIGINT) == heard._heard)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [False]
