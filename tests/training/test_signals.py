"""A process that is told to stop does so where nothing is lost."""

from __future__ import annotations

import signal
import threading

import pytest

from vggrepro.training.signals import STOP_SIGNALS, Signals, Stopped


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_outside_of_a_step_a_signal_stops_at_once(number):
    with pytest.raises(Stopped) as stopped, Signals().watched():
        signal.raise_signal(number)
        pytest.fail("it went on")
    assert stopped.value.code == 128 + number


def test_in_a_step_a_signal_is_noted_and_obeyed_after_it():
    signals, done = Signals(), []
    with pytest.raises(Stopped) as stopped, signals.watched():
        with signals.deferred():
            signal.raise_signal(signal.SIGUSR1)
            done.append(signals.received)
        pytest.fail("it went on")
    assert done == [signal.SIGUSR1]
    assert stopped.value.code == 128 + signal.SIGUSR1


def test_the_handlers_from_before_come_back():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with Signals().watched():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_without_signals_to_watch_nothing_is_caught():
    before = signal.getsignal(signal.SIGTERM)
    with Signals(()).watched():
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_that_loses_the_others_waits_for_the_signal_that_stopped_them():
    """A process that is told to stop between two steps leaves at once; the others find their exchange broken."""
    signals = Signals(grace=30.0)
    with pytest.raises(Stopped) as stopped, signals.watched(), signals.deferred():
        threading.Timer(0.2, signal.raise_signal, [signal.SIGUSR1]).start()
        raise RuntimeError("connection closed by peer")
    assert stopped.value.code == 128 + signal.SIGUSR1


def test_an_exchange_that_breaks_for_another_reason_is_an_error():
    with pytest.raises(RuntimeError, match="by peer"), Signals(grace=0.1).watched():
        raise RuntimeError("connection closed by peer")
