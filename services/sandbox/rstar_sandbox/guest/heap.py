"""Where new objects go: into one fresh stretch of memory, not into the holes of the old.

A fork that writes anywhere in a 2 MB unit makes gVisor copy that unit. Thousands of holes, left all
over the heap by what was imported and freed again, would be filled first and so spread a few
kilobytes of new objects over every unit there is. `seal` uses the holes up.
"""

from __future__ import annotations

import ctypes

LARGEST_BYTES = 2**19
"""Of a hole worth looking for."""

FINE_BYTES = 4096
"""Below it every size that malloc tells apart is tried."""

GRANULE_BYTES = 16
CHUNK_HEADER_BYTES = 16


def seal() -> int:
    """Allocate every hole of the heap, for ever; how many there were."""
    libc = ctypes.PyDLL(None)
    malloc = libc.malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    end, last = 0, malloc(LARGEST_BYTES)
    while not end:  # two in a row lie at the heap's end, where there are no holes
        following = malloc(LARGEST_BYTES)
        end = following if following == last + LARGEST_BYTES + CHUNK_HEADER_BYTES else 0
        last = following
    size, holes = LARGEST_BYTES, 0
    while size >= GRANULE_BYTES:
        while malloc(size) < end:
            holes += 1
        size = size * 15 // 16 if size > FINE_BYTES else size - GRANULE_BYTES
    return holes
