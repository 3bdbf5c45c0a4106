"""Decides which tests are slow: `make test-fast` leaves them out.

A test carries the mark `slow` if it starts a process, opens a browser, or computes for longer than
`QUICK_SECONDS`. The first two rules are enforced here. For the third, each run ends with a list of
the tests that need the mark.
"""

import os
import resource
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# Seconds of the processor, because those of a clock depend on what else the machine does.
QUICK_SECONDS = 0.4

_started: list[str] = []


def _note_process(event: str, args: tuple[Any, ...]) -> None:
    """Note each Python that is started and each fork. Other programs are quick, such as the one
    that joblib asks for the number of cores."""
    if event == "os.fork":
        _started.append("a fork")
    elif event == "subprocess.Popen":
        program = Path(os.fsdecode(args[0])).name
        if program.startswith("python"):
            _started.append(program)


sys.addaudithook(_note_process)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that open a page in a browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Forget the processes of earlier tests."""
    _started.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Measure a test, and let it fail if it or its fixtures start a process without the mark."""
    before = _cpu_seconds()
    try:
        result = yield
    finally:
        item.user_properties.append(("cpu_seconds", _cpu_seconds() - before))
    if _started and item.get_closest_marker("slow") is None:
        pytest.fail(
            f"The test, or one of its fixtures, starts a process ({_started[0]}), so it does not "
            "belong to the quick tests. Mark it: @pytest.mark.slow",
            pytrace=False,
        )
    return result


def _cpu_seconds() -> float:
    """RETURNS (float): Seconds that this process and its finished children have computed."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the tests that should be marked, the slowest first."""
    found = {
        report.nodeid: dict(report.user_properties)["cpu_seconds"]
        for report in terminalreporter.stats.get("passed", [])
        if "slow" not in report.keywords and report.user_properties
    }
    slow = {name: seconds for name, seconds in found.items() if seconds > QUICK_SECONDS}
    if slow:
        terminalreporter.section(f"tests of more than {QUICK_SECONDS:g} s without the mark slow")
        for name in sorted(slow, key=lambda name: -slow[name]):
            terminalreporter.line(f"{slow[name]:6.1f} s  {name}")
