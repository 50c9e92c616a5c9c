"""The verbs of Limnos, one file each."""
