"""What the operating system keeps a worker from: Linux alone has all of it."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from typing import NamedTuple

from elman._errors import ConfigError

SECONDS = 10
"""Time for a request of typed code."""
MEMORY = 2 * 1024**3
"""Bytes that typed code may allocate."""
FILE = 256 * 1024**2
"""Bytes of a file that typed code may write."""

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
EPERM, ENOSYS = 1, 38
CLONE_THREAD = 0x10000


class _Calls(NamedTuple):
    """Numbers of system calls of one machine."""

    audit: int
    clone: int
    prlimit: int
    refused: tuple[int, ...]


CLONE3 = 435  # the same everywhere
PIDFD_SEND_SIGNAL, PIDFD_OPEN = 424, 434
CALLS = {
    # fork, vfork, execve, execveat, kill, tkill, ptrace, process_vm_writev, setrlimit, socket
    "x86_64": _Calls(0xC000003E, 56, 302, (57, 58, 59, 322, 62, 200, 101, 311, 160, 41)),
    "aarch64": _Calls(0xC00000B7, 220, 261, (221, 281, 129, 130, 117, 271, 164, 198)),
}


def prctl(option: int, *values: int) -> None:
    """One call of prctl.

    Raises:
        OSError: the system refuses it.
    """
    library = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if library.prctl(option, *padded) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def die_with_parent() -> None:
    """End this process when its parent ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends."""
    prctl(PR_SET_SUBREAPER, 1)


def confine() -> None:
    """Limit this process and its threads for good: memory, processor time, files, no processes.

    It can then start no other process, send no signal to one and open no connection.

    Raises:
        ConfigError: this system has no such limits.
    """
    try:
        used = int(_status("VmSize")) * 1024
        for limit, most in (
            (resource.RLIMIT_AS, used + MEMORY),
            (resource.RLIMIT_CPU, _cpu() + SECONDS + 1),
            (resource.RLIMIT_FSIZE, FILE),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(limit, (most, most))
        _refuse_calls()
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"typed code needs limits that this system does not have ({error}): give the cell as "
            "a file, elman lab --cell FILE.py:Class"
        ) from error


def _cpu() -> int:
    """The processor seconds of this process, which its limit counts from the start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime)


def _status(name: str) -> str:
    with open("/proc/self/status") as file:  # noqa: PTH123 - nothing that a path could do better
        return next(line.split()[1] for line in file if line.startswith(f"{name}:"))


def _refuse_calls() -> None:
    """A filter of system calls: of those that typed code has no use for, each fails with EPERM.

    A thread may begin, a process may not: clone is refused without CLONE_THREAD, and clone3, whose
    flags a filter cannot read, does not exist for it, so that the C library takes clone.
    """
    calls = CALLS[platform.machine()]
    load_arch, load_call = _load(4), _load(0)
    refuse, allow, absent = _return(EPERM), _return(None), _return(ENOSYS)
    program = [
        load_arch,
        _jump(0x15, calls.audit, 1, 0),
        refuse,
        load_call,
        # Numbers from 2**30 on are the 32-bit variants of x86_64.
        _jump(0x35, 0x40000000, 0, 1),
        refuse,
        _jump(0x15, CLONE3, 0, 1),
        absent,
        _jump(0x15, calls.clone, 0, 4),
        _load(16),  # its flags, the low word of the first argument
        _jump(0x45, CLONE_THREAD, 0, 1),
        allow,
        refuse,
        _jump(0x15, calls.prlimit, 0, 6),
        _load(32),  # its third argument, the new limit, in two words
        _jump(0x15, 0, 0, 3),
        _load(36),
        _jump(0x15, 0, 0, 1),
        allow,
        refuse,
    ]
    for number in (*calls.refused, PIDFD_SEND_SIGNAL, PIDFD_OPEN):
        program += [_jump(0x15, number, 0, 1), refuse]
    program.append(allow)
    code = b"".join(program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    filtered = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(filtered))


def _load(offset: int) -> bytes:
    return struct.pack("HBBI", 0x20, 0, 0, offset)


def _jump(code: int, value: int, true: int, false: int) -> bytes:
    return struct.pack("HBBI", code, true, false, value)


def _return(error: int | None) -> bytes:
    return struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000 if error is None else 0x50000 | error)
