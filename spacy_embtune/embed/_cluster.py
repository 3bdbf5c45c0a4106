"""Connect to a Ray cluster, or start one of this machine."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._extras import import_extra
from .._texts import shorten

# Seconds for a connection to the address of a cluster.
CONNECTING = 10.0
CURE = "Check the address, and whether the cluster runs (ray status)."


def import_ray() -> Any:
    """Import Ray.

    >>> import_ray().__name__
    'ray'

    RETURNS (Any): The module.
    RAISES (ImportError): When it is missing. The message names the extra.
    """
    # Ray reads these when it is imported: nothing is reported to its makers, and a worker without
    # a GPU is not told to see none, because it computes on the CPU anyway.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return import_extra("ray", "The engine ray needs Ray", extra="ray")


@contextmanager
def connected(ray: Any, address: str | None, store_bytes: int, wait: float) -> Iterator[None]:
    """Connect to a cluster, or start one, unless this process is connected already.

    ray (Any): The module.
    address (str | None): See `RayOptions`.
    store_bytes (int): The size of the object store of a cluster that is started.
    wait (float): Seconds to wait for the cluster.
    RAISES (ValueError): When there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    if address is None or address == "auto":
        # Ray looks there, too, and for "auto" before it looks for a cluster of this machine.
        address = os.environ.get("RAY_ADDRESS") or address or "local"
    settings: dict[str, Any] = {"address": address, "log_to_driver": False}
    if address == "local":
        settings |= {
            "include_dashboard": False,
            "object_store_memory": store_bytes,
            # No other machine has to reach it.
            "_node_ip_address": "127.0.0.1",
        }
    else:
        if address != "auto":
            _check_reachable(address, wait)
        _check_answers(address, wait)
    try:
        ray.init(**settings, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        # Ray tells of versions that differ in this way, too.
        raise ValueError(
            f"The cluster {address} cannot be used ({shorten(str(error), 500)}). Look whether it "
            "runs (ray status), and whether Python and Ray have the same versions there."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str, wait: float) -> None:
    """Find out in seconds whether anything listens at an address.

    RAISES (ValueError): When nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(
            f"The address {address!r} is not valid. Give HOST:PORT, such as 10.0.0.5:6379, or auto "
            "for the cluster of this machine."
        )
    try:
        place = (host.strip("[]"), int(port))
        socket.create_connection(place, min(wait, CONNECTING)).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"The cluster {address} cannot be reached ({error}). {CURE}") from error


def _check_answers(address: str, wait: float) -> None:
    """Find out in bounded time whether there is a cluster at an address, also for "auto", which may
    stand for one that has ended. Ray itself would try again for minutes, and may end the process.

    RAISES (ValueError): When there is none.
    """
    trial = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    try:
        run = subprocess.run(
            [sys.executable, "-c", trial],
            timeout=wait,
            capture_output=True,
            text=True,
            cwd=Path.home(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"The cluster {address} does not answer within {wait:g} seconds (--wait). {CURE}"
        ) from error
    if run.returncode:
        lines = [line for line in run.stderr.strip().splitlines() if line.strip()]
        said = shorten(lines[-1], 500) if lines else f"code {run.returncode}"
        raise ValueError(f"The cluster {address} cannot be used ({said}). {CURE}")
