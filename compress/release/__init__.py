"""Releases: a .sqz file, its manifest and a signature, published under a version that never changes and checked when pulled.

docs/RELEASE.md has the layouts, the manifest field by field, and what may be trusted.
"""
