"""What a command does, without the command line; what of it is public, `pneumoscope` itself names.

Nothing is imported here: answering does not have to wait for what training needs.
"""
