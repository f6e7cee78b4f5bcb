"""Bulk: many images in shards, each answered into one file, going on where it was stopped."""
