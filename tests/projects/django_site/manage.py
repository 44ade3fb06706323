"""Django's commands for the project, from the root of the repository or any other folder."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    root = str(Path(__file__).parents[3])
    if root not in sys.path:
        sys.path.insert(0, root)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.projects.django_site.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
