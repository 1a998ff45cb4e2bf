"""ScanResult → format, one file a format. Reports read the model only; only `writer` touches files."""
