"""ScanResult → format, one file a format."""
