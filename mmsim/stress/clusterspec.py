# SPDX-License-Identifier: GPL-2.0-only
"""Where a cluster is: `local`, `local:3`, `tcp://head:8786`, or a TOML file.

    scheduler = "tcp://head:8786"     # one that runs
    workers = 4                       # wait for so many before the first block (1)
    wait_seconds = 120                # but no longer, then go on with those that came (60)
    silence_seconds = 60              # a worker without a sign of life is given up (60)

    [tls]                             # if the scheduler wants it: dask's own certificates
    ca = "ca.pem"
    cert = "cert.pem"
    key = "key.pem"

In place of `scheduler` a file may have a table `[ssh]` or `[slurm]`, whose keys are handed to
`dask.distributed.SSHCluster` and `dask_jobqueue.SLURMCluster`; such a cluster ends with the
campaign.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsim.errors import UsageError, one_line
from mmsim.stress import worker
from mmsim.stress.pool import deaf_child

INSTALL = "--cluster needs dask.distributed: pip install 'mmsim[cluster]'"
ALLOWED = "local, local:N, tcp://HOST:PORT, tls://HOST:PORT or a FILE.toml"
MOST_LOCAL = 1024
QUIET = {
    "distributed.admin.log-format": "%(message)s",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.gil.enabled": False,
}
"""Dask looks at what its workers do a hundred times a second.  The simulated CPUs hand a token to
each other thousands of times a second under the same lock of the interpreter, so that runs took a
fifth longer.  Measured with all of these at once.
"""
_TOP = ("scheduler", "workers", "wait_seconds", "silence_seconds", "tls", "ssh", "slurm")


@dataclass(frozen=True)
class Spec:
    """A cluster, as it was asked for."""

    text: str
    local: int = 0
    """Worker processes to start on this machine; 0: none."""
    scheduler: str = ""
    workers: int = 1
    wait: float = 60.0
    silence: float = 60.0
    tls: Mapping[str, str] = field(default_factory=dict)
    made_by: str = ""
    """`ssh` or `slurm`: a cluster that is made for the campaign."""
    options: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str) -> Spec:
    """Raises UsageError for what names no cluster."""
    word, _, number = text.partition(":")
    if word == "local":
        if number and not (number.isdigit() and 1 <= int(number) <= MOST_LOCAL):
            raise UsageError(f"--cluster {text}: give local:N with N from 1 to {MOST_LOCAL}")
        count = int(number) if number else len(worker.cores())
        return Spec(text, local=count)
    if text.startswith(("tcp://", "tls://")):
        host, _, port = text[6:].rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"--cluster {text}: the address of a scheduler is {text[:6]}HOST:PORT")
        return Spec(text, scheduler=text)
    if not text.endswith(".toml"):
        raise UsageError(f"--cluster {text!r} is no cluster; allowed are {ALLOWED}")
    try:
        with Path(text).open("rb") as file:
            return _from_file(text, tomllib.load(file))
    except OSError as error:
        raise UsageError(f"--cluster {text}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--cluster {text} is not valid TOML: {one_line(error)}") from None


def _from_file(name: str, data: Mapping[str, Any]) -> Spec:
    for key in data:
        if key not in _TOP:
            raise UsageError(f"--cluster {name}: unknown key {key!r}; allowed: {', '.join(_TOP)}")
    ways = [key for key in ("scheduler", "ssh", "slurm") if key in data]
    if len(ways) != 1:
        raise UsageError(f"--cluster {name}: one of scheduler, [ssh] and [slurm] says where it is")
    (way,) = ways
    for key in ("tls", "ssh", "slurm"):
        if key in data and not isinstance(data[key], dict):
            raise UsageError(f"--cluster {name}: {key} is a table, written [{key}]")
    if way == "scheduler" and not isinstance(data["scheduler"], str):
        raise UsageError(f"--cluster {name}: scheduler is an address, like tcp://head:8786")
    return Spec(
        name,
        scheduler=data.get("scheduler", ""),
        workers=int(_number(name, data, "workers", 1)),
        wait=_number(name, data, "wait_seconds", 60.0),
        silence=_number(name, data, "silence_seconds", 60.0),
        tls=data.get("tls", {}),
        made_by="" if way == "scheduler" else way,
        options={} if way == "scheduler" else data[way],
    )


def _number(name: str, data: Mapping[str, Any], key: str, default: float) -> float:
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise UsageError(f"--cluster {name}: {key} = {value!r} is not a number above 0")
    return float(value)


@dataclass
class Connection:
    """A client of a cluster, and the cluster itself where it is ours."""

    client: Any
    own: Any = None

    def close(self) -> None:
        """Leave; what is ours ends, what is not stays as it was."""
        self.client.close(timeout=5)
        if self.own is not None:
            self.own.close(timeout=10)


def connect(spec: Spec) -> Connection:
    """Raises UsageError if dask is not installed, or nobody answers."""
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise UsageError(INSTALL) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set(QUIET)
    own = None
    with deaf_child():  # workers on this machine hear no Ctrl-C: the campaign ends them
        if spec.local:
            own = _local(spec)
        elif spec.made_by:
            own = _made(spec)
        try:
            client = Client(own or spec.scheduler, timeout=spec.wait, security=_security(spec))
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"--cluster {spec.text}: nobody answers: {one_line(error)}") from None
    return Connection(client, own)


def _local(spec: Spec) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=spec.local,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        memory_limit=0,
    )


def _made(spec: Spec) -> Any:
    options = dict(spec.options)
    if spec.made_by == "ssh":
        from distributed import SSHCluster

        try:
            import asyncssh  # noqa: F401
        except ImportError:
            raise UsageError("[ssh] needs asyncssh: pip install asyncssh") from None
        return SSHCluster(**options)
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UsageError("[slurm] needs dask-jobqueue: pip install dask-jobqueue") from None
    jobs = options.pop("jobs", 1)
    cluster = SLURMCluster(**options)
    cluster.scale(jobs=jobs)
    return cluster


def _security(spec: Spec) -> Any:
    if not spec.tls:
        return None
    from distributed.security import Security

    return Security(
        tls_ca_file=spec.tls.get("ca"),
        tls_client_cert=spec.tls.get("cert"),
        tls_client_key=spec.tls.get("key"),
        require_encryption=True,
    )
