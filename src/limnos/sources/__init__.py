"""The systems that rows come from, one file each."""
