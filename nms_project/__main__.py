"""Django's command line: the console script `nms`, `python -m nms_project`, and manage.py."""

import gc
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nms_project.settings")
    gc.disable()  # until all is imported (ProjectConfig.ready), of which nothing is garbage
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # an operator needs its one line, not our traceback
        sys.exit(f"{sys.argv[0]}: {error}")


if __name__ == "__main__":
    main()
