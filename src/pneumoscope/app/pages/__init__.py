"""The pages: each module shows one, and holds nothing but what is shown."""
