"""What Limnos finds out about data by looking at it."""
