"""A data lake that measures its own water."""
