"""GBNF grammars: read, check, repair, print, recognise, enforce. Pure Python on text and bytes."""
