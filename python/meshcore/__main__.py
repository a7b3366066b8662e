"""`python -m meshcore`: the same as the script `meshcore`."""

from meshcore.cli import main

if __name__ == "__main__":
    main()
