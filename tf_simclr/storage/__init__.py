"""Images and runs on object storage, by way of local copies."""
