# SPDX-License-Identifier: GPL-2.0-only
"""Random litmus tests of two to four threads.

Purely random code seldom asks for much order. So most threads are made as the edges of a cycle are:
two accesses, to this thread's variable and to the next one's, with something between them that may
or may not order them. Everything that can be seen in the end is observed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

FENCES = ("smp_mb()", "smp_mb()", "smp_rmb()", "smp_wmb()", "synchronize_rcu()")
ORDERS = ("", "_relaxed", "_acquire", "_release")


class _Thread:
    def __init__(self, draw: random.Random, number: int, values: dict[str, int]) -> None:
        self.draw = draw
        self.number = number
        self.values = values
        self.lines: list[str] = []
        self.registers = 0
        self.last: str | None = None
        """The register of the last read."""

    def register(self) -> str:
        name = f"r{self.registers}"
        self.registers += 1
        self.last = name
        return name

    def value(self, word: str) -> int:
        self.values[word] += 1
        return self.values[word]

    def read(self, word: str, *, acquire: bool = False, after: str | None = None) -> None:
        where = f"({word} + ({after} ^ {after}))" if after else word
        call = f"smp_load_acquire({where})" if acquire else f"READ_ONCE(*{where})"
        self.lines.append(f"{self.register()} = {call};")

    def write(self, word: str, *, release: bool = False, after: str | None = None) -> None:
        value = f"{self.value(word)}" + (f" + ({after} ^ {after})" if after else "")
        call = f"smp_store_release({word}, " if release else f"WRITE_ONCE(*{word}, "
        self.lines.append(f"{call}{value});")

    def atomic(self, word: str) -> None:
        order = self.draw.choice(ORDERS)
        kind = self.draw.choice(("xchg", "add", "fetch", "return", "cmpxchg", "unless"))
        if kind == "xchg":
            self.lines.append(f"{self.register()} = xchg{order}({word}, {self.value(word)});")
        elif kind == "add":
            before = self.draw.random() < 0.2
            after = self.draw.random() < 0.2
            if before:
                self.lines.append("smp_mb__before_atomic();")
            self.lines.append(f"atomic_add({8 * self.value(word)}, {word});")
            if after:
                self.lines.append("smp_mb__after_atomic();")
        elif kind == "fetch":
            self.lines.append(f"{self.register()} = atomic_fetch_add{order}(8, {word});")
        elif kind == "return":
            self.lines.append(f"{self.register()} = atomic_inc_return{order}({word});")
        elif kind == "cmpxchg":
            old, new = self.draw.randint(0, 1), self.value(word)
            self.lines.append(f"{self.register()} = cmpxchg{order}({word}, {old}, {new});")
        else:
            self.lines.append(f"{self.register()} = atomic_add_unless({word}, 16, 1);")

    def access(self, word: str, atomics: float) -> None:
        if self.draw.random() < atomics:
            self.atomic(word)
        elif self.draw.random() < 0.5:
            self.read(word, acquire=self.draw.random() < 0.25)
        else:
            self.write(word, release=self.draw.random() < 0.25)

    def fence(self) -> None:
        self.lines.append(f"{self.draw.choice(FENCES)};")

    def pair(self, one: str, other: str, rich: bool) -> None:
        """An access to each, and perhaps something that orders them."""
        draw = self.draw
        links: list[Callable[[], None]] = [
            lambda: self.access(other, 0.1),
            self.fenced(other),
            lambda: self.write(other, release=True),
            self.dependent(other),
        ]
        if rich:
            links += [self.sections(other)] * 3
        if draw.random() < 0.3:
            self.read(one, acquire=draw.random() < 0.5)
        else:
            self.access(one, 0.15)
        draw.choice(links)()

    def fenced(self, word: str) -> Callable[[], None]:
        def add() -> None:
            self.fence()
            self.access(word, 0.1)

        return add

    def dependent(self, word: str) -> Callable[[], None]:
        def add() -> None:
            if self.last is None:
                self.fence()
                self.access(word, 0.1)
                return
            kind = self.draw.choice(("address", "data", "control"))
            if kind == "address":
                self.read(word, after=self.last)
            elif kind == "data":
                self.write(word, after=self.last)
            else:
                self.lines.append(f"if ({self.last}) {{")
                self.access(word, 0.0)
                self.lines.append("}")

        return add

    def sections(self, word: str) -> Callable[[], None]:
        """Leave a critical section, and perhaps enter one."""

        def add() -> None:
            first, second = self.draw.choice((("ll", "ll"), ("ll", "lm")))
            self.lines.insert(0, f"spin_lock({first});")
            self.lines.append(f"spin_unlock({first});")
            if self.draw.random() < 0.4:
                self.access(word, 0.0)
                return
            self.lines.append(f"spin_lock({second});")
            kind = self.draw.random()
            if kind < 0.2:
                self.lines.append("smp_mb__after_spinlock();")
            elif kind < 0.4:
                self.lines.append("smp_mb__after_unlock_lock();")
            self.access(word, 0.0)
            self.lines.append(f"spin_unlock({second});")

        return add

    def wrapped(self) -> None:
        """Put all of it into a critical section, or try to."""
        kind = self.draw.choice(("rcu", "rcu", "lock", "trylock"))
        if kind == "rcu":
            # Who waits for readers from inside waits for ever.
            self.lines = [line for line in self.lines if line != "synchronize_rcu();"]
            self.lines = ["rcu_read_lock();", *self.lines, "rcu_read_unlock();"]
        elif any("spin" in line for line in self.lines):
            return
        elif kind == "lock":
            self.lines = ["spin_lock(l);", *self.lines, "spin_unlock(l);"]
        else:
            register = self.register()
            inside = [*self.lines, "spin_unlock(l);"]
            self.lines = [f"{register} = spin_trylock(l);", f"if ({register}) {{", *inside, "}"]


def generate(seed: int) -> str:
    """The text of a litmus test; the same for the same seed."""
    draw = random.Random(seed)
    threads = draw.choice((2, 2, 2, 3, 3, 3, 4))
    names = ("x", "y", "z", "w")
    words = names[: draw.randint(max(1, threads - 1), threads)]
    values = dict.fromkeys(names, 0)
    bodies: list[_Thread] = []
    rcu = draw.random() < 0.3
    for number in range(threads):
        thread = _Thread(draw, number, values)
        one, other = words[number % len(words)], words[(number + 1) % len(words)]
        kind = draw.random()
        if kind < 0.12 and threads > 2:
            thread.access(one, 0.2)
        elif kind < 0.85:
            thread.pair(one, other, rich=threads < 4 and draw.random() < 0.3)
        else:
            for _ in range(draw.randint(1, 3 if threads < 4 else 2)):
                thread.access(draw.choice(words), 0.15)
                if draw.random() < 0.4:
                    thread.fence()
        if threads < 4 and draw.random() < 0.3:
            thread.access(draw.choice(words), 0.1)
        if draw.random() < (0.5 if rcu else 0.08):
            thread.wrapped()
        bodies.append(thread)
    if rcu:
        chosen = draw.choice(bodies)
        if not any("rcu" in line for line in chosen.lines) and chosen.lines:
            chosen.lines.insert(1, "synchronize_rcu();")
    return _text(seed, bodies, words)


def _text(seed: int, bodies: list[_Thread], words: tuple[str, ...]) -> str:
    shared = [f"int *{word}" for word in words] + [
        f"spinlock_t *{name}" for name in ("l", "ll", "lm")
    ]
    parts = [f"C random-{seed}", "{}"]
    shown = [f"{word};" for word in words]
    for thread in bodies:
        parts.append(f"P{thread.number}({', '.join(shared)})")
        registers = [f"r{number}" for number in range(thread.registers)]
        declared = [f"int {register};" for register in registers]
        parts += ["{", *(f"\t{line}" for line in [*declared, *thread.lines]), "}"]
        shown += [f"{thread.number}:{register};" for register in registers]
    parts += [f"locations [{' '.join(shown)}]", "exists (true)"]
    return "\n".join(parts) + "\n"
