"""Pages of what lies in time."""

from rest_framework.pagination import CursorPagination


class SlotPages(CursorPagination):
    """Newest first by the due time, so that pages stay what they are while new rows come in."""

    ordering = "-due_at"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1_000
