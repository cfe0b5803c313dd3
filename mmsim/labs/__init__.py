# SPDX-License-Identifier: GPL-2.0-only
"""Eight labs: read a mail, predict, break it, measure it, explain it, fix it, be graded.

A lab is a folder ``labN`` of this package: texts for the student (``README.md``, ``hints.md``), for
the teacher (``teach.md``), the questions (``answers.toml``), a kernel file whose solution stands
between ``TODO`` marks if there is something to write, and ``__init__.py``, which says what is drawn
for a student, what the reference answers are, and what is tested.

    lab.py         what a lab and a test are, as values
    catalogue.py   the labs there are
    skeleton.py    a solution with its answers taken out
    workspace.py   a student's folder: answers, predictions, hints taken
    rules.py       what a student's kernel file may say
    kernel.py      the running kernel with some functions of the student's
    box.py judge.py  one test in a process of its own, with limits; both ends of the pipe
    trials.py      what a kernel is put through: lines, random runs, every order
    room.py        is it still a kernel of several CPUs?
    grading.py     all tests of a lab, and what is said of them
    lint.py        does a report look like a mail to a list?

The texts of the labs (``*.md``) may be used under CC-BY-4.0, the code under the project's licence.
"""
