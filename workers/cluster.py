"""Joining Ray: a cluster of machines, or one that is started on this machine."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import AuthenticationError, RayError

from workers.problems import InputProblem, WorkProblem
from workers.ray_address import ADDRESS_VARIABLE, TOKEN_VARIABLES

ANSWER_S = 15.0
"""Seconds in which something must listen at a cluster's address: a head may just be starting, and
Ray itself would wait for minutes."""


def connect(address: str | None, cpus: int) -> None:
    """Join a Ray cluster, or start Ray on this machine.

    Args:
        address: of a running cluster, `host:port` or `auto`; None starts one on this machine, on
            its loopback.
        cpus: logical cores to offer there: what the pool and the trainer reserve together. They
            take turns, so that it may be more than the machine has.

    Raises:
        InputProblem: there is no cluster at the address, or it does not let this process in.
        WorkProblem: Ray does not start on this machine.
    """
    if ray.is_initialized():
        return
    # Actors are told which cores to use; without this, Ray warns that it will stop hiding GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        _start_here(cpus, options)
        return
    _check_something_listens(address)
    try:
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError, RayError) as error:
        raise InputProblem(_why_refused(address, error)) from error


def _start_here(cpus: int, options: dict[str, Any]) -> None:
    try:
        # Said outright: without an address, Ray would join whatever cluster runs on this machine.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **options)
    except Exception as error:
        # Of its own processes' late start Ray tells by no narrower class than this.
        raise WorkProblem(
            f"Ray did not start on this machine ({error}). Its processes have a minute or so to "
            "start, which a busy machine may not leave them: run the same command again when there "
            "is a core to spare, or look at /tmp/ray/session_latest/logs. Finished stages are kept."
        ) from error


def _check_something_listens(address: str) -> None:
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise InputProblem(
            f"{_field()}: {address!r} is no address of a Ray cluster. Give its head's as HOST:PORT "
            "(the port of `ray start --head`, 6379 by default), not that of Ray's client or "
            "dashboard, or leave it out to start Ray here."
        )
    end = time.monotonic() + ANSWER_S
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S / 3).close()
            return
        except OSError as error:
            if time.monotonic() > end or isinstance(error, socket.gaierror):
                raise InputProblem(_nothing_there(address, str(error))) from error
            time.sleep(0.5)


def _field() -> str:
    """Where the address came from."""
    return ADDRESS_VARIABLE if os.environ.get(ADDRESS_VARIABLE) else "placement.ray_address"


def _nothing_there(address: str, said: str) -> str:
    return (
        f"{_field()}: no Ray cluster answers at {address!r} ({said}). Start one there with "
        "`ray start --head`, or leave it out to start Ray here."
    )


def _why_refused(address: str, error: BaseException) -> str:
    """What Ray's refusal means, and how to mend it."""
    said = [str(each) for each in _causes(error)]
    told = next((text for text in said if "Version mismatch" in text), None)
    if told is not None:
        facts = ", ".join(line.strip() for line in told.splitlines()[1:] if line.strip())
        return (
            f"{_field()}: the cluster at {address} runs other versions than this process, and "
            f"Ray asks for equal ones: {facts}. Start this run from the image, or the "
            "requirements file, that the cluster's nodes were made from."
        )
    if any("No node info found" in text for text in said):
        return (
            f"{_field()}: this machine is no node of the cluster at {address}, and the process "
            f"that starts a run must be. Run `ray start --address={address} --num-cpus=0` here "
            "first, or start the run on the head."
        )
    if isinstance(error, AuthenticationError) or address != "auto":
        given = next((name for name in TOKEN_VARIABLES if os.environ.get(name)), None)
        why = f"the token in {given} is another one" if given else "no token is given"
        return (
            f"{_field()}: something listens at {address}, but lets this process not in. A Ray "
            f"cluster asks for its token, and {why} (RAY_AUTH_MODE is "
            f"{os.environ.get('RAY_AUTH_MODE', 'not set')}). Put the token that the head was "
            "started with into RAY_AUTH_TOKEN, or its file's path into RAY_AUTH_TOKEN_PATH. "
            "Otherwise it may be no Ray cluster that listens there."
        )
    return _nothing_there(address, said[0].strip().splitlines()[-1] if said[0].strip() else "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
