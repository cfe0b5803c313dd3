# SPDX-License-Identifier: GPL-2.0-only
"""Who waits for whom when nobody can go on (kernel/watchdog.c, kernel/hung_task.c).

The engine knows *that* a run is stuck.  This file says how: a cycle of waiting is a deadlock, a
sleeper whom nobody will wake a hung task, a spinner whose lock was left by the dead a soft
lockup, and a run that goes on and on under fair scheduling a livelock.

Of several sleepers the one is named who waits for nobody alive: the others wait for it.

A context waits for the owner of the lock it spins or sleeps on; one that is not on its CPU, but
for that could run, waits for whatever is.  Stacks are taken before the engine unwinds them.
"""

from mmsim.engine.context import DONE, FRESH, READY, SLEEPING, SPINNING
from mmsim.engine.op import LOCK
from mmsim.linux.bug import frames_of, report

__mmsim_primitive__ = True


def stuck(machine, why):
    """The engine's hook: enter the finding that explains why ``machine`` does not go on."""
    if why == "budget":
        _livelock(machine)
        return
    alive = [c for c in machine.contexts if c.state not in (DONE, FRESH)]
    cycle = _cycle(alive)
    if cycle:
        _deadlock(cycle)
        return
    spinner = next((c for c in alive if _spins_on(c) is not None), None)
    if spinner is not None:
        title = f"soft lockup - CPU stuck on {_class(_spins_on(spinner))}"
        _enter("soft-lockup", title, spinner, (_waits(spinner),))
        return
    sleepers = [c for c in alive if c.state == SLEEPING]
    roots = (c for c in sleepers if all(o.state == DONE for o in _waits_for(c)))
    sleeper = next(roots, sleepers[0] if sleepers else alive[0])
    _enter(
        "hung-task",
        "INFO: task blocked for more than 120 seconds",
        sleeper,
        tuple(_waits(c) for c in alive),
    )


def _class(lock):
    """A lock's name without its instance: "PG_locked#pfn:00101" is one of the class PG_locked."""
    return lock.name.partition("#")[0]


def _spins_on(ctx):
    """The lock that a context on its CPU cannot get.

    One that was interrupted just before its first attempt stands no better than one that has made
    it, and only the latter may be known from a recording.
    """
    if ctx.state == SPINNING:
        lock = ctx.spin
    else:
        lock = ctx.pending[1] if ctx.state == READY and ctx.pending[0].kind is LOCK else None
    return lock if lock is not None and lock.locked else None


def _lock(ctx):
    return ctx.blocked_on if ctx.state == SLEEPING else _spins_on(ctx)


def _owners(ctx):
    """Who holds what ``ctx`` is after."""
    lock = _lock(ctx)
    owners = lock.holders() if hasattr(lock, "holders") else [getattr(lock, "owner", None)]
    return [owner for owner in owners if owner is not None]


def _waits_for(ctx):
    top = ctx.cpu.top()
    if ctx.state == SLEEPING or top is None or top is ctx:
        return _owners(ctx)
    return [*_owners(ctx), top]


def _cycle(alive):
    """The first cycle of the wait-for graph, in order of context id; [] if there is none."""
    dead_ends = set()

    def follow(path):
        for ctx in _waits_for(path[-1]):
            if ctx in path:
                return path[path.index(ctx) :]
            if ctx.state != DONE and ctx not in dead_ends:
                cycle = follow([*path, ctx])
                if cycle:
                    return cycle
        dead_ends.add(path[-1])
        return []

    return next((cycle for start in alive if (cycle := follow([start]))), [])


def _deadlock(cycle):
    locks = sorted({_class(_lock(c)) for c in cycle if _lock(c) is not None})
    spinner = min((c for c in cycle if _lock(c) is not None), key=lambda c: c.id)
    title = f"deadlock on {', '.join(locks)}"
    _enter("deadlock", title, spinner, tuple(_waits(c) for c in cycle))


def _waits(ctx):
    lock = _lock(ctx)
    who = f"{ctx.comm}/{ctx.pid} ({ctx.kind}, CPU#{ctx.cpu.id})"
    if lock is None:
        if ctx.state == SLEEPING:
            return f"{who} sleeps and nobody is going to wake it"
        top = ctx.cpu.top()
        below = "nobody" if top is None else f"{top.comm}/{top.pid}"
        return f"{who} waits for its CPU, which {below} has"
    owners = ", ".join(
        f"{o.comm}/{o.pid}{' (exited)' if o.state == DONE else ''}"
        for o in _owners(ctx)
    )
    verb = "sleeps for" if ctx.state == SLEEPING else "spins on"
    return f"{who} {verb} {lock.name}, held by {owners or 'nobody'}"


def _livelock(machine):
    busy = [c for c in machine.contexts if c.state not in (DONE, FRESH, SLEEPING)]
    busy = busy or [c for c in machine.contexts if c.state != DONE]
    # whose effect was the last; that may be an interrupt which is raised again and again
    ctx = max((c for c in machine.contexts if c.state != DONE), key=lambda c: (c.stamp, -c.id))
    stack = _frames(ctx)
    where = stack[-1].func if stack else ""
    report(
        "livelock",
        "livelock: no progress under fair scheduling",
        ctx=ctx,
        at=stack,
        where=where,
        detail=tuple(f"{c.comm}/{c.pid} (CPU#{c.cpu.id}) goes round and round" for c in busy),
    )


def _enter(kind, title, ctx, detail):
    report(kind, title, ctx=ctx, at=_frames(ctx), detail=detail)


def _frames(ctx):
    """The kernel frames of ``ctx``, which may have interrupts on top of it on the same stack."""
    host = ctx.host
    frame = host.frame() if host is not None else None
    above = 0
    if ctx in ctx.cpu.stack:
        above = len(ctx.cpu.stack) - 1 - ctx.cpu.stack.index(ctx)
    else:
        above = sum(irq.host is host for irq in ctx.cpu.stack)
    chunk = frames_of(frame)
    for _ in range(above):
        frame = _below(frame)
        chunk = frames_of(frame)
    return chunk


def _below(frame):
    """Skip the engine's frames, one context's frames, and stop at the engine's next."""

    def engine(f):
        return f.f_globals.get("__name__", "").startswith("mmsim.engine")

    while frame is not None and engine(frame):
        frame = frame.f_back
    while frame is not None and not engine(frame):
        frame = frame.f_back
    return frame
