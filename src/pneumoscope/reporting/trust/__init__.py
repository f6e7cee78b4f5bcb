"""How trust is shown: figures and tables of an assessment, section by section."""
