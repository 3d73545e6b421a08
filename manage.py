#!/usr/bin/env python3
"""Django's command line."""

from nms_project.__main__ import main

if __name__ == "__main__":
    main()
