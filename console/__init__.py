"""The screens that operators keep open: the admin's site, its dashboard and the page of a device."""
