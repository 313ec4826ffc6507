"""A wrong clock for one process: a few lines of C before its C library. The host's is left alone.

Only wall-clock time lies; durations and timers, which run on the monotonic clock, do not. Without
a C compiler there is no such clock and wrong ones are not tried.
"""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from dataclasses import replace
from pathlib import Path

from rstar_cli.local.process import Command
from rstar_common.errors import Unavailable

_SOURCE = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t skew(void) {
  const char *text = getenv("RSTAR_CHAOS_SKEW_SECONDS");
  return text ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, id, now);
  if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += skew();
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *where) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (where) *where = exact.tv_sec;
  return exact.tv_sec;
}
"""


async def wrong_clock(directory: Path) -> Path:
    """Build the library in `directory`.

    Raises:
        Unavailable: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise Unavailable("no C compiler")
    source, library = directory / "wrong_clock.c", directory / "wrong_clock.so"
    source.write_text(_SOURCE)
    building = await asyncio.create_subprocess_exec(
        *(compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    if await building.wait():
        raise Unavailable("the C compiler does not build a shared library")
    return library


def with_wrong_clock(command: Command, library: Path, seconds: int) -> Command:
    """`command` in a process whose wall clock is so far ahead."""
    lie = {"LD_PRELOAD": str(library), "RSTAR_CHAOS_SKEW_SECONDS": str(seconds)}
    return replace(command, environment={**command.environment, **lie})
