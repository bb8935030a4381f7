"""`python -m oxiflow` is `oxiflow`."""

from .runner import main

if __name__ == "__main__":
    main()
