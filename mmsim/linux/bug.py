# SPDX-License-Identifier: GPL-2.0-only
"""BUG, WARN, VM_BUG_ON and page faults: the kernel's own detectors (linux/bug.h, mmdebug.h).

Each makes a Finding out of the moment: who, where, which frames, which locks, what the page looked
like.  BUG ends the context it happens in and leaves its locks held; the other CPUs go on, so that
second symptoms appear as they do in life.

Conditions of VM_BUG_ON are given as functions: without CONFIG_DEBUG_VM the kernel does not
evaluate them, so here they must not pass a point either.

``where`` is the kernel's own file and line of an assertion, as that kernel prints it.  A function
that re-states several versions gives one for each, by the era's name; a version without a line, or
an assertion without ``where``, is reported with the file alone, since a line of another version
would be a wrong one.
"""

import sys
from contextlib import nullcontext

from mmsim.detect.finding import KINDS, Finding, Frame
from mmsim.engine.context import TASK
from mmsim.engine.door import current, door
from mmsim.engine.oops import ContextDied
from mmsim.model.cite import file_of, symbol_of
from mmsim.model.era import ERAS, IS_ENABLED, era

__mmsim_primitive__ = True


def frames(depth=1):
    """The kernel frames of the caller, innermost first."""
    return frames_of(sys._getframe(depth + 1))


def frames_of(frame):
    """Kernel frames from a Python frame outwards, until the engine.

    A helper (one underscore), a static inline of a header, and the parts that one C function was
    cut into have no frame of their own in a kernel.  They are shown as a compiler shows what it
    inlined: the caller's symbol, the line where it really happened.
    """
    out = []
    last = None  # the code of the last frame in ``out``
    inlined = None  # the innermost place in a helper that belongs to the frame to come
    while frame is not None:
        code = frame.f_code
        module = frame.f_globals.get("__name__", "")
        if module.startswith("mmsim.engine") or module in ("mmsim.run", "threading"):
            if out or inlined:
                break
        elif not frame.f_globals.get("__mmsim_primitive__") and code.co_name != "<lambda>":
            here = _frame(frame)
            if _is_helper(code) or file_of(code).endswith(".h"):
                inlined = inlined or here
            elif last not in (None, code) and symbol_of(last) == symbol_of(code):
                out[-1] = _inline(out[-1], here)
                last, inlined = code, None
            else:
                out.append(_inline(inlined or here, here))
                last, inlined = code, None
        frame = frame.f_back
    return tuple(out) if inlined is None else (*out, inlined)


def _frame(frame):
    code = frame.f_code
    file = code.co_filename
    cut = file.rfind("/mmsim/")
    return Frame(
        code.co_name,
        file[cut + 1 :] if cut >= 0 else file.rsplit("/", 1)[-1],
        frame.f_lineno,
        max(frame.f_lasti, 0),
        len(code.co_code),
        file_of(code),
    )


def _inline(at, into):
    """The function and offset of the one frame, the line of the other."""
    return Frame(into.func, at.file, at.line, into.offset, into.size, into.source)


def _is_helper(code):
    return code.co_name.startswith("_") and not code.co_name.startswith("__")


def report(kind, title, *, page=None, detail=(), fatal=False, where="", at=None, ctx=None):
    """Enter a finding; if ``fatal``, end this context.

    ``page`` is anything with ``snapshot()``; ``where`` names the function to blame when it is not
    the innermost one; ``at`` are frames when they are not the caller's; ``ctx`` the context it
    happened to when that is not the current one.
    """
    if kind not in KINDS:
        raise ValueError(f"a finding of kind {kind!r}: it has to be one of {', '.join(KINDS)}")
    machine = door.machine
    if ctx is None:
        ctx = current()
    if at is None:
        at = frames(1)
    with nullcontext() if door.execution is None else door.execution.still():
        finding = Finding(
            kind=kind,
            title=title,
            where=where or (at[0].func if at else ""),
            comm=ctx.comm,
            pid=ctx.pid,
            cpu=ctx.cpu.id,
            context=ctx.kind,
            frames=at,
            page=None if page is None else page.snapshot(),
            locks=tuple(lock.name for lock in ctx.locks),
            detail=tuple(detail),
            era=machine.era,
            cpus=len(machine.cpus),
            preempt=machine.preempt,
            step=machine.position(),
            arch=ERAS[machine.era].arch if machine.era in ERAS else "",
            irqs_off=ctx.cpu.irqs_off,
            task=_task_below(ctx),
        )
    machine.report(finding)
    if fatal:
        raise ContextDied
    return finding


def _task_below(ctx):
    """Of an interrupt, the task it came on top of: the kernel's ``current``."""
    if ctx.kind is TASK:
        return None
    curr = ctx.cpu.curr
    return ("swapper", 0) if curr is None else (curr.comm, curr.pid)


def _place(where, code):
    """``where`` for the booted kernel; without one the file of the function that ``code`` is."""
    if isinstance(where, dict):
        where = where.get(era().name, "")
    return where or file_of(code)


def _kernel_bug(where, code):
    place = _place(where, code)
    return (f"kernel BUG at {place}!",) if place else ()


def BUG(where, page=None):
    """``where`` as printed: "page_alloc.c:84" (2.4), "mm/mlock.c:82" (later).

    ``page`` is the one it is about, for the report; the kernel itself does not print it.
    """
    place = _place(where, sys._getframe(1).f_code)
    report("BUG", f"kernel BUG at {place}!", page=page, fatal=True)


def BUG_ON(condition, where, page=None):
    """BUG if the condition holds.  The condition is evaluated in every configuration."""
    if condition:
        place = _place(where, sys._getframe(1).f_code)
        report("BUG", f"kernel BUG at {place}!", page=page, fatal=True)


def VM_BUG_ON(condition, where, page=None):
    """With DEBUG_VM: BUG if ``condition()``.  What assertions about pages were until 3.14."""
    if IS_ENABLED("DEBUG_VM") and condition():
        place = _place(where, sys._getframe(1).f_code)
        report("BUG", f"kernel BUG at {place}!", page=page, fatal=True)


def _without_dump(where, code, page):
    """Assertions about pages and folios that old kernels reach, too, are a bare BUG there."""
    if era().version < (3, 14):
        place = _place(where if isinstance(where, dict) else "", code)
        report("BUG", f"kernel BUG at {place}!", page=page, fatal=True)


def VM_BUG_ON_PAGE(condition, text, page, where=""):
    """With DEBUG_VM: dump the page and BUG if ``condition()``; ``text`` is the C expression.

    Before 3.14 a VM_BUG_ON, which dumps nothing.
    """
    if IS_ENABLED("DEBUG_VM") and condition():
        _without_dump(where, sys._getframe(1).f_code, page)
        at = _kernel_bug(where, sys._getframe(1).f_code)
        report("VM_BUG_ON", f"VM_BUG_ON_PAGE({text})", page=page, detail=at, fatal=True)


def VM_BUG_ON_FOLIO(condition, text, page, where=""):
    """The same, as folio code (5.16 and later) spells it."""
    if IS_ENABLED("DEBUG_VM") and condition():
        _without_dump(where, sys._getframe(1).f_code, page)
        at = _kernel_bug(where, sys._getframe(1).f_code)
        report("VM_BUG_ON", f"VM_BUG_ON_FOLIO({text})", page=page, detail=at, fatal=True)


def WARN_ON(condition, text, where=""):
    """Report and go on."""
    if condition:
        place = _place(where, sys._getframe(1).f_code)
        report("warn", f"WARNING: {text}", detail=(place,) if place else ())
    return bool(condition)


def WARN_ONCE(condition, text, where=""):
    """The same, said once a boot."""
    title = f"WARNING: {text}"
    if condition and _is_first(title):
        place = _place(where, sys._getframe(1).f_code)
        report("warn", title, detail=(place,) if place else ())
    return bool(condition)


def VM_WARN_ON_ONCE_FOLIO(condition, text, page, where=""):
    """With DEBUG_VM: dump the page and warn, once a boot, if ``condition()``."""
    title = f"WARNING: VM_WARN_ON_ONCE_FOLIO({text})"
    if IS_ENABLED("DEBUG_VM") and condition() and _is_first(title):
        place = _place(where, sys._getframe(1).f_code)
        report("warn", title, page=page, detail=(place,) if place else ())


def _is_first(title):
    return all(finding.title != title for finding in door.machine.findings)


def page_fault(address, write, page=None):
    """The kernel touched an address that is not mapped: list poison, or NULL plus an offset."""
    kernel = era()
    if kernel.bits == 32:
        title = f"Unable to handle kernel NULL pointer dereference at virtual address {address:08x}"
    elif address >> 47 in (0, 0x1FFFF):
        title = f"BUG: kernel NULL pointer dereference, address: {address:016x}"
    else:
        title = f"general protection fault, probably for non-canonical address 0x{address:x}"
    access = "write" if write else "read"
    report("oops", title, page=page, detail=(f"supervisor {access} access",), fatal=True)
