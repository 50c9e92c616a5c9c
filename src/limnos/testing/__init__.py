"""Conformance suites, one for each seam, for adapters of anyone."""
