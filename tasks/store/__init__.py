"""Where releases are stored: a folder or S3, write-once files and one pointer per product."""
