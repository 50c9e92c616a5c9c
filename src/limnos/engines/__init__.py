"""Engines that run SQL: DuckDB, embedded."""
