"""Packages made to kill, to hang or to fill the memory, and children that open them under caps."""
