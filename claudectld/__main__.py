"""`python -m claudectld`."""

from claudectld.cli import main

if __name__ == "__main__":
    main()
