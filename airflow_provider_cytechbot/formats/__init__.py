"""File formats: tables to and from JSON Lines, CSV and Parquet, and the compression of whole files."""
