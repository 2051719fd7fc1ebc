"""Where results go: an outbox on disk, and brokers, services and folders that are sent to."""
