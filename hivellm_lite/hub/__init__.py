"""Everything that concerns the Hugging Face Hub and its cache on this machine.

``reference`` reads ``owner/repository@revision:file``; ``cache`` knows the folder
that all users of the Hub share; ``connection`` asks what a repository holds;
``download`` brings files, checked; ``failures`` explains; ``models`` and
``packages`` know which files are wanted. ``huggingface_hub`` is imported when
something is asked or fetched, not before.

Private: may change in any release.
"""

from .connection import Hub
from .packages import fetch_package, locate_package
from .reference import HubReference, parse_reference

__all__ = ["Hub", "HubReference", "fetch_package", "locate_package", "parse_reference"]
