"""Experts installed by name, in HiveLLM's own registry and folders.

``registry`` is the form of the registry file, ``records`` that of what is remembered of each
installation. ``registry_file`` reads and changes the file, ``home`` the folders beside it.
``asked`` and ``names`` find an installed expert by a name such as ``sql@>=0.2``. ``installing``
begins: ``preparing`` fetches and checks, ``requires`` finds what is needed besides, ``placing``
puts everything into place. ``updates``, ``removal``, ``locking`` and ``lock_file`` do what their
names say.

Private: may change in any release.
"""
