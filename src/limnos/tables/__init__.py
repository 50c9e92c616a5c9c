"""Apache Iceberg tables: staged, published, read back."""
