"""`python -m service` is `thumbnails`."""

from service.cli.main import main

if __name__ == "__main__":
    main()
