"""What Streamlit runs on every visit and every change."""

import sys

from pneumoscope.app.main import main
from pneumoscope.app.settings import Settings

if __name__ == "__main__":
    main(Settings.from_arguments(sys.argv[1:]))
