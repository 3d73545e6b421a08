"""Import and export as pages of a list in the admin."""

from collections import Counter
from typing import Any, ClassVar

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldBooleanSwitchWidget

from nms_project.admin import ModelAdmin
from nms_project.errors import Conflict, InvalidInput
from nms_project.tables import download
from nms_project.transfer.api import csv_text
from nms_project.transfer.table import RowReport, Table, table_check, table_import, table_lines

CHANGED = "Something that the table refers to was changed meanwhile. Nothing was done; try again."


class ImportForm(forms.Form):
    file = forms.FileField(
        label="CSV file", widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,text/csv"})
    )
    dry_run = forms.BooleanField(
        required=False,
        initial=True,
        label="Dry run",
        help_text="Report what would be done, and do nothing.",
        widget=UnfoldBooleanSwitchWidget,
    )
    all_or_nothing = forms.BooleanField(
        required=False,
        label="All or nothing",
        help_text="One wrong row leaves everything undone.",
        widget=UnfoldBooleanSwitchWidget,
    )


class TableAdmin(ModelAdmin[Any]):
    table: ClassVar[Table[Any]]
    change_list_template = "admin/table_change_list.html"

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("import/", self.admin_site.admin_view(self.import_view), name=f"{name}_import"),
            path("export/", self.admin_site.admin_view(self.export_view), name=f"{name}_export"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"query": request.GET.urlencode(), **(extra_context or {})})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Those that the list shows with the same filters."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).queryset
        except (
            IncorrectLookupParameters
        ):  # to the list, as that does: here it would be a download of everything
            return HttpResponseRedirect(f"../?{ERROR_FLAG}=1")
        return download(table_lines(self.table, found), f"{self.table.name}.csv")

    def import_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        reports: list[RowReport] | None = None
        if request.method == "POST" and form.is_valid():
            try:
                reports = self._imported(form.cleaned_data)
            except InvalidInput as error:
                for texts in error.fields.values():
                    form.add_error("file", texts)
            except (Conflict, IntegrityError) as error:
                form.add_error("file", str(error) if isinstance(error, Conflict) else CHANGED)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Import {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "form": form,
            "table": self.table,
            "reports": reports,
            "counts": dict(Counter(report.outcome.label for report in reports or ())),
        }
        return TemplateResponse(request, "admin/table_import.html", context)

    def _imported(self, fields: dict[str, Any]) -> list[RowReport]:
        return table_import(
            self.table,
            table_check(self.table, csv_text(fields["file"].read())),
            is_dry_run=fields["dry_run"],
            is_all_or_nothing=fields["all_or_nothing"],
        )
