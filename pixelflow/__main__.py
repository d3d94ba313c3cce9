"""``python -m pixelflow``."""

from pixelflow.cli.app import main

if __name__ == "__main__":
    main()
