"""Grammars in GBNF, llama.cpp's notation, one file a language.

Data only; they hold left recursion nowhere.
"""
