"""The embedded stack: PostgreSQL, Redis and the processes of `manage.py run`."""
