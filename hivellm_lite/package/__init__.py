"""Packages: an ``.expert`` archive or folder, checked and opened."""

from __future__ import annotations

from .opening import AdapterFiles, Package, SignatureReport, SoftPromptFiles, open_package

__all__ = ["AdapterFiles", "Package", "SignatureReport", "SoftPromptFiles", "open_package"]
