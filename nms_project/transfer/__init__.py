"""Objects from tables and into tables, CSV or JSON, in the API and in the admin."""
