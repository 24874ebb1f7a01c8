"""The same seeded command sequences to this server and to a real one; replies compared byte by byte.

vocabulary.py    the words of commands: few keys, so that commands collide, and values that go wrong
grammar.py       command templates, written as the manual writes syntax, turned into random generators
generators/      one module per command group: its templates
comparison.py    when two different replies are the same answer (no defined order, a clock, chance)
differences.py   what Redis changed between 7.0 and 7.4, by name
episodes.py      running, finding the first difference, making its sequence small, the report

By hand: python3 -m tests.oracle --groups strings --commands 20000 --seed 7
"""
