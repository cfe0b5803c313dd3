# SPDX-License-Identifier: GPL-2.0-only
"""Be the scheduler: a variant on the real engine, one step at a time, by a person.

    steering.py   the policy that follows a person's moves and then stops
    session.py    the moves so far, undo and redo, and where everybody stands
    known.py      a failing run of few preemptions, to compare with and to give up for
    text.py       the game in a terminal, or from a script
    web.py        the game in a browser (Starlette and uvicorn, extra `lab`)

Undo is not a memory of machines: a prefix of the moves is run again, which takes a few milliseconds
and is exact.
"""
