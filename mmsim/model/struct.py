# SPDX-License-Identifier: GPL-2.0-only
"""C structs whose shared fields look like fields and are points all the same.

    class page(Struct):
        mapping = shared(None)

``page.mapping`` is a plain load and ``page.mapping = x`` a plain store, each behind a point: no
access can forget it.  ``page.v_mapping`` is the value without a point; it is for effects, for
set-up before the first context runs, and for checks after the last one, never for kernel code.

Defaults live on the class, so creating an object costs nothing per field.
"""

import sys
from operator import attrgetter

from mmsim.engine.access import READ, WRITE
from mmsim.engine.door import door

__mmsim_primitive__ = True  # observers attribute its accesses to the caller


class shared:
    """Marks a shared field; ``default`` must be immutable."""

    def __init__(self, default=0):
        self.default = default


class Struct:
    """Base of all simulated structs.  ``name`` is what events and reports call the object."""

    name = ""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for field, mark in list(vars(cls).items()):
            if isinstance(mark, shared):
                setattr(cls, "v_" + field, mark.default)
                setattr(cls, field, _accessors(field))


class _Raw(dict):
    """The name of a field without its point, made once: a new string is hashed at every use."""

    def __missing__(self, field):
        raw = self[field] = sys.intern("v_" + field)
        return raw


_RAW = _Raw()


def access_field(kind, obj, field, effect, value=None):
    """Pass a point and perform ``effect(obj, raw, value)`` on a field that is given by name."""
    door.left -= 1
    if door.left < 0:
        return door.slow(kind, obj, field, effect, obj, _RAW[field], value)
    return effect(obj, _RAW[field], value)


def _accessors(field):
    raw = _RAW[field]
    load = attrgetter(raw)

    def store(obj, value):
        setattr(obj, raw, value)

    def get(obj):
        door.left -= 1
        if door.left < 0:
            return door.slow(READ, obj, field, load, obj)
        return load(obj)

    def put(obj, value):
        door.left -= 1
        if door.left < 0:
            door.slow(WRITE, obj, field, store, obj, value)
        else:
            setattr(obj, raw, value)

    return property(get, put, doc=f"shared field ``{field}``")
