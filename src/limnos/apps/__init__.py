"""The faces of one Lake; no rules of their own."""
