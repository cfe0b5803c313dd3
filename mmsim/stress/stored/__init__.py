# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns in a file: one SQLite database, and nothing else has to run.

    schema    the tables
    values    variants and findings as JSON, and back
    lock      one writer at a time
    shelf     the blocks of one campaign, as the plan asks for them
    file      the store: open, begin a campaign, add a block, read it again
    kept      a campaign whose blocks are kept, and taken from the store where they are in it
    recount   a campaign of the store counted again: verdicts, JSON, checks
    merge     two stores into one
    proposals  small lines of what is new, for the corpus

A block is a function of (code, plan, seed, range of runs), so a campaign is nothing but its plan
and the blocks that are there. To go on with one means to ask for its blocks again in the same
order, and to run those that are missing.
"""
