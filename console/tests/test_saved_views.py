"""Views that are saved: as many as one may have, whoever saves at the same moment."""

import threading
from typing import Any

import pytest
from django.db import connection

from console.models import SavedView
from console.saved_views import MAX_VIEWS, view_save
from nms_project.errors import InvalidInput

pytestmark = pytest.mark.usefixtures("committed")


def test_nobody_has_more_than_he_may(user: Any) -> None:
    SavedView.objects.bulk_create(SavedView(user=user, name=f"view {n}") for n in range(MAX_VIEWS - 1))
    refused: list[InvalidInput] = []

    def save(name: str) -> None:
        try:
            view_save(user, name, "", is_shared=False)
        except InvalidInput as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=[f"new {n}"]) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    assert SavedView.objects.filter(user=user).count() == MAX_VIEWS
    view_save(user, "view 1", "status=active", is_shared=True)  # one that there is can be replaced
