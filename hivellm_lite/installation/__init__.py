"""Experts installed by name, in HiveLLM's own registry and folders.

``registry`` is the form of the registry file, ``records`` that of what is remembered of each
installation. ``home`` reads and changes the folder that holds them. ``names`` finds an installed
expert by a name such as ``sql@>=0.2``. ``install``, ``removal`` and ``updates`` change what is
installed; ``lock_file`` writes down what a team has in common.

Private: may change in any release.
"""
