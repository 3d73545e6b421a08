"""What a person keeps of the console for later."""

from django.conf import settings
from django.db import models


class SavedView(models.Model):
    """Filters, search and order of the list of devices under a name: `query` is the list's query string. A
    shared one is offered to everybody, and is its owner's to forget.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=64)
    query = models.TextField(max_length=2_000)
    is_shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="savedview_user_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name
