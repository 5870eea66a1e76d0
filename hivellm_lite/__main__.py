"""``python -m hivellm_lite``: the same as ``hivellm-lite``."""

from .cli import main

main()
