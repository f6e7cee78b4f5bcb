"""Every sentence of the app in English and French, one table per page.

A module of this folder is a table: each of its names is a `Text`, or a mapping of what the program
writes to a `Text`. `tests/test_app_words.py` fails on a text that is missing, unused, or has other
placeholders in the other language.
"""
