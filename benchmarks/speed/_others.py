"""Who else uses the processors while we measure: a machine that is always busy looks steady."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.speed._plan import cores

STAT = Path("/proc/stat")


class Others:
    """The processor time that other processes take, from when this is made.

    It is that of the processors that this process may use, with what a hypervisor takes away.
    """

    def __init__(self) -> None:
        self._cores = cores()
        self._begin = time.perf_counter()
        self._before = self._taken()

    def share(self) -> float | None:
        """Of the time of these processors, from 0 to 1; None where the system does not tell."""
        taken = self._taken()
        if taken is None or self._before is None:
            return None
        all_time = (time.perf_counter() - self._begin) * len(self._cores)
        return min(1.0, max(0.0, (taken - self._before) / max(all_time, 1e-9)))

    def _taken(self) -> float | None:
        """Seconds that these processors were busy with others, since the system began."""
        try:
            lines = STAT.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        ours = {f"cpu{core}" for core in self._cores}
        busy = 0.0
        for name, *times in (line.split() for line in lines if line.startswith("cpu")):
            if name in ours:
                user, nice, system, _idle, _waiting, *interrupts = map(int, times[:8])
                busy += user + nice + system + sum(interrupts)
        return busy / os.sysconf("SC_CLK_TCK") - time.process_time()
