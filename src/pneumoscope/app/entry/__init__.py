"""The script that Streamlit runs, alone in its folder.

Streamlit puts the script's folder on Python's search path: beside our modules it would hide the
standard library's of the same name.
"""
