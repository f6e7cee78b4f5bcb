"""The web app: what the project knows, shown to people who never open a terminal."""
