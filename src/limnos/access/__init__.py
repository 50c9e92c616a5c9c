"""Who may do what, and which SQL may run."""
