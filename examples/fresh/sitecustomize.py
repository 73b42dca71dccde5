# SPDX-License-Identifier: BSD-2-Clause
"""PYTHONPATH=the folder of this file

The generators of Python's `random` are part of the frozen program: the same in
every request.  Here one that nobody gave a seed gets a fresh one at its first
use in each request, when /dev/sysgenid says that it is another.
"""

import mmap
import os
import random

try:
    _fd = os.open("/dev/sysgenid", os.O_RDONLY)
    _map = mmap.mmap(_fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
    os.close(_fd)
    _generation = memoryview(_map)[:4].cast("I")
except (OSError, ValueError):
    _generation = None          # it does not run in a machine

_Random = random.Random


class Random(_Random):
    _seen = None                # of a generator that was given a seed

    def seed(self, a=None, version=2):
        self._seen = _generation[0] if a is None else None
        super().seed(a, version)

    def setstate(self, state):
        self._seen = None
        super().setstate(state)

    def _fresh(self):
        if self._seen is not None and self._seen != _generation[0]:
            self.seed()

    def random(self):
        self._fresh()
        return super().random()

    def getrandbits(self, k):
        self._fresh()
        return super().getrandbits(k)


if _generation is not None:
    Random.__module__ = "random"
    random.Random = Random
    random._inst = Random()
    for _name in dir(_Random):
        if not _name.startswith("_") and hasattr(random, _name):
            setattr(random, _name, getattr(random._inst, _name))
