"""What every layer leans on: errors, types, recipe, randomness, files, progress, provenance."""
