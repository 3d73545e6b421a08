"""An operator's day in a real browser, on a live installation with simulated hosts."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from console.tests.browser import CHROMIUM, Visitor
from nms_project.stack.live import LiveStack, live_stack, wait_until
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOST_PASSWORD = "s3cret-of-the-walked-hosts"
SECONDS = 30_000  # milliseconds that a page may take to show what happens behind it


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    config = FleetConfig(network="127.67.1.0/24", count=12, password=HOST_PASSWORD, latency_seconds=0.05)
    with Simulator(config) as running:
        yield running


@pytest.fixture(scope="module")
def stack(simulator: Simulator) -> Iterator[LiveStack]:
    with live_stack(NMS_FAILURE_THRESHOLD="2") as running:
        running.run("web", "beat", "worker control ping discovery store history", "worker poll.0 poll.1")
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM)
        yield running
        running.close()


@pytest.fixture
def admin(stack: LiveStack, browser: Browser) -> Iterator[Visitor]:
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        visitor = Visitor(context, stack.client.base_url)
        visitor.goto("/admin/")
        visitor.check()  # the login
        visitor.login("admin", stack.password)
        yield visitor


@pytest.fixture
def viewer(stack: LiveStack, browser: Browser) -> Iterator[Visitor]:
    stack.add_user("eve", role="viewer")
    with browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark") as context:
        visitor = Visitor(context, stack.client.base_url)
        visitor.login("eve", stack.password)
        yield visitor


def test_from_the_first_login_to_a_dead_host_and_back(
    admin: Visitor, stack: LiveStack, simulator: Simulator
) -> None:
    page = admin.page
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    expect(page.get_by_text("None. All that is polled answers.").first).to_be_visible()

    admin.goto("/admin/devices/credentialprofile/add/")
    page.fill("#id_name", "walked")
    page.select_option("#id_protocol", "winrm")
    page.fill("#id_payload", f'{{"username": "monitor", "password": "{HOST_PASSWORD}"}}')
    admin.check()
    page.click("button[name=_save]")
    expect(page.get_by_text("walked", exact=True).first).to_be_visible()

    admin.goto("/admin/discovery/discoveryprofile/add/")
    page.fill("#id_name", "walk")
    page.fill("#id_target", "127.67.1.1-12")
    page.select_option("#id_credential_profile", label="walked (winrm)")
    page.fill("#id_polling_interval_seconds", "10")
    admin.check()
    page.click("button[name=_save]")

    admin.goto("/admin/discovery/discoveryprofile/")
    page.check("input.action-select")
    page.select_option("select[name=action]", "run")
    page.click("button[name=index]")
    expect(page.get_by_text(re.compile("Discovery of walk started"))).to_be_visible()
    admin.check()
    wait_until(lambda: stack.count("SELECT count(*) FROM devices_device") == 12, 60)
    admin.goto("/admin/discovery/discoveryresult/")
    admin.check()

    admin.goto("/admin/devices/device/")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "provision")
    page.click("button[name=index]")
    expect(page.get_by_text("12 device(s) are polled from now on.")).to_be_visible()
    admin.check()

    # The dashboard comes alive without being loaded again.
    admin.goto("/admin/")
    tile = page.locator(".nms-tile.nms-active .nms-tile-count")
    expect(tile).to_have_text("12", timeout=SECONDS)
    expect(page.locator("#panel-cpu tbody tr td a").first).to_be_visible(timeout=SECONDS)
    admin.check()

    dying = "127.67.1.3"
    simulator.set_faults({dying: Fault.GONE})
    problem = page.locator("#panel-newest tbody tr").first
    expect(problem).to_contain_text("down", timeout=2 * SECONDS)
    admin.check()
    problem.get_by_role("link").click()

    expect(page.locator("#panel-state")).to_contain_text("failures within the window")
    expect(page.locator("#charts-list figure").first).to_be_visible(timeout=SECONDS)
    admin.check()
    simulator.set_faults({dying: Fault.NONE})
    page.get_by_role("button", name="Provision").click()
    expect(page.get_by_text("is polled from now on")).to_be_visible()
    expect(page.locator("#panel-verdicts tbody tr").first).to_contain_text("ok", timeout=SECONDS)
    page.get_by_role("button", name="Test credential").click()
    expect(page.get_by_text(re.compile(r"walked on .*: "))).to_be_visible(timeout=SECONDS)
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("button", name="Provision")).to_be_visible()
    page.get_by_role("button", name="Provision").click()
    expect(page.get_by_role("button", name="Poll now")).to_be_visible()

    page.get_by_role("button", name="1 h", exact=True).click()
    expect(page.locator("#charts-note")).to_contain_text("a point every 10 s", timeout=SECONDS)
    admin.check()


def test_a_viewer_is_offered_nothing_that_changes_things(viewer: Visitor, stack: LiveStack) -> None:
    page = viewer.page
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    viewer.check()
    for path in (
        "/admin/devices/device/",
        "/admin/devices/credentialprofile/",
        "/admin/discovery/discoveryprofile/",
    ):
        viewer.goto(path)
        assert page.locator("a.addlink, button[name=index], .nms-tools a:has-text('Import')").count() == 0
        viewer.check()
    assert viewer.page.request.get(f"{viewer.base_url}/admin/devices/device/add/").status == 403


def test_a_server_that_is_gone_is_said(admin: Visitor, stack: LiveStack) -> None:
    page = admin.page
    expect(page.locator("#panel-at")).to_be_visible()
    page.route("**/admin/live/", lambda route: route.abort())
    expect(page.locator("#stale")).to_contain_text("the server does not answer", timeout=SECONDS)
    page.unroute("**/admin/live/")
    expect(page.locator("#stale")).to_be_hidden(timeout=SECONDS)


def test_the_keyboard_leads_everywhere(admin: Visitor) -> None:
    page = admin.page
    reached: set[Any] = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('href')"))
    assert "/admin/devices/device/?status__exact=error" in reached
    assert "/admin/devices/device/" in reached
