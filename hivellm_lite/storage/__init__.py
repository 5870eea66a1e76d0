"""Files and disks: writing a file whole or not at all, and the room that a disk has.

Private: may change in any release.
"""
