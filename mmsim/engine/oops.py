# SPDX-License-Identifier: GPL-2.0-only
"""How a context dies."""


class ContextDied(BaseException):
    """An oops ends the context it happens in; the locks it held stay held, as on a machine.

    Not an Exception: kernel code has no business catching it.
    """
