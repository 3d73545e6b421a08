"""An operator's day in a real browser, on a live installation with simulated hosts."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from console.tests.browser import CHROMIUM, PICTURES, Visitor
from nms_project.stack.live import LiveStack, live_stack, wait_until
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 if PICTURES else 300)]

HOST_PASSWORD = "s3cret-of-the-walked-hosts"
PATIENCE = 90_000  # milliseconds until a page shows what takes workers some rounds


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

    add_credential(admin)
    discover(admin)
    approve(admin)

    # The dashboard comes alive without being loaded again.
    admin.goto("/admin/")
    tile = page.locator(".nms-tile.nms-up .nms-tile-count")
    expect(tile).to_have_text("12")
    expect(page.locator("#panel-cpu tbody tr td a").first).to_be_visible()
    admin.check()
    if PICTURES:  # of charts that have something to show
        wait_until(lambda: stack.count("SELECT count(*) FROM metrics_sample") > 12 * 30, 400)

    keep_a_view(admin)

    admin.goto("/admin/")
    dying = "127.67.1.3"
    simulator.set_faults({dying: Fault.GONE})
    ((name,),) = stack.sql(f"SELECT hostname FROM devices_device WHERE ip_address = '{dying}'")
    problem = page.locator("#panel-newest tbody tr").filter(has_text=name)
    expect(problem).to_contain_text("down", timeout=PATIENCE)
    admin.check()
    admin.picture("dashboard", height=1_250)
    page.emulate_media(color_scheme="dark")
    admin.picture("dashboard-phone", width=390, height=844)
    page.emulate_media(color_scheme="light")
    problem.get_by_role("link").click()

    expect(page.locator("#panel-state")).to_contain_text("failures within the window")
    expect(page.locator("#charts-list figure").first).to_be_visible()
    admin.check()
    simulator.set_faults({dying: Fault.NONE})
    page.get_by_role("button", name="Provision").click()
    expect(page.get_by_text("is polled from now on")).to_be_visible()
    expect(page.locator("#panel-verdicts tbody tr").first).to_contain_text("ok")
    page.get_by_role("button", name="Test credential").click()
    expect(page.get_by_text(re.compile(r"walked on .*: "))).to_be_visible()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("button", name="Provision")).to_be_visible()
    page.get_by_role("button", name="Provision").click()
    expect(page.get_by_role("button", name="Poll now")).to_be_visible()

    page.get_by_role("button", name="1 h", exact=True).click()
    expect(page.locator("#charts-note")).to_contain_text("a point every 10 s")
    admin.check()
    end = time.time()
    admin.goto(f"{urlsplit(page.url).path}?start={end - 480:.0f}&end={end:.0f}")
    expect(page.locator("#charts-list figure").first).to_be_visible()
    admin.picture("device", height=1_500)


def add_credential(admin: Visitor) -> None:
    page = admin.goto("/admin/devices/credentialprofile/add/")
    admin.check()
    page.get_by_role("link", name="winrm").click()
    page.fill("#id_name", "walked")
    page.fill("#id_payload_username", "monitor")
    page.fill("#id_payload_password", HOST_PASSWORD)
    admin.check()
    admin.picture("credential")
    page.click("button[name=_continue]")
    expect(page.get_by_text("added successfully")).to_be_visible()
    assert HOST_PASSWORD not in page.content()
    page.fill("input[name=target]", "127.67.1.1")
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("walked on 127.67.1.1: the login works")).to_be_visible()
    admin.check()


def discover(admin: Visitor) -> None:
    page = admin.goto("/admin/discovery/discoveryprofile/add/")
    page.fill("#id_name", "walk")
    preview = page.locator("#target-preview")
    page.locator("#id_target").press_sequentially("127.67.1.1-")
    expect(preview).to_contain_text("is not an address")
    page.locator("#id_target").press_sequentially("12")
    expect(preview).to_contain_text("12 addresses.")
    page.select_option("#id_credential_profile", label="walked (winrm)")
    page.fill("#id_polling_interval_seconds", "10")
    admin.check()
    admin.picture("discovery-target")
    page.click("button[name=_continue]")
    page.get_by_role("button", name="Run now").click()
    # It goes on without being loaded again.
    expect(page.locator("#h-progress")).to_contain_text("12 addresses")
    admin.check()
    expect(page.locator("#h-progress")).to_have_text("Done: 12 of 12 addresses", timeout=PATIENCE)
    admin.check()
    admin.picture("discovery-run")


def approve(admin: Visitor) -> None:
    page = admin.page
    ticked = page.get_by_role("checkbox", name=re.compile("^Approve ")).first
    ticked.check()
    page.get_by_role("button", name="Approve those ticked").click()
    page.get_by_role("button", name="Provision 1 device").click()
    expect(page.locator("#bulk-words")).to_contain_text("1 of 1 done: 1 provisioned")
    page.get_by_role("link", name="Back to the list").click()
    page.get_by_role("button", name="Approve all").click()
    admin.check()
    page.get_by_role("button", name="Provision 11 devices").click()
    expect(page.locator("#bulk-words")).to_contain_text("11 of 11 done: 11 provisioned")
    assert page.locator("#bulk-rows tr").count() == 11
    admin.check()
    admin.picture("many")
    admin.goto("/admin/discovery/discoveryresult/")
    admin.check()


def keep_a_view(admin: Visitor) -> None:
    page = admin.goto("/admin/devices/device/?status__exact=active")
    page.fill("input[name=name]", "Polled")
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_role("link", name="Polled")).to_have_attribute("aria-current", "page")
    expect(page.locator("svg.nms-strip").first).to_be_visible()
    admin.check()
    admin.picture("devices")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "set_interval")
    page.click("button[name=index]")
    page.fill("#id_polling_interval_seconds", "5")
    page.get_by_role("button", name="Set 12 devices").click()
    expect(page.locator("#bulk-words")).to_contain_text("0 of 12 done. Interval in seconds: ")
    page.fill("#id_polling_interval_seconds", "10")
    page.get_by_role("button", name="Set 12 devices").click()
    expect(page.locator("#bulk-words")).to_contain_text("12 of 12 done: 12 unchanged")
    admin.check(asked_wrongly=1)


def found_by_ping(stack: LiveStack) -> tuple[int, Any, int]:
    """A device that was discovered, its profile and its run."""
    client = stack.client
    credential = client.post("credentials", {"name": "ping", "protocol": "icmp", "payload": {}})
    fields = {"name": "one", "target": "127.67.2.1", "credential_profile_id": credential["id"]}
    profile = client.post("discovery_profiles", fields)
    run = client.post(f"discovery_profiles/{profile['id']}/run", {})["run_id"]
    wait_until(lambda: client.get(f"discovery_runs/{run}")["status"] == "done", 60)
    (device,) = stack.sql("SELECT id FROM devices_device WHERE ip_address = '127.67.2.1'")[0]
    return device, profile, run


def test_a_viewer_is_offered_nothing_that_changes_things(viewer: Visitor, stack: LiveStack) -> None:
    page = viewer.page
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    viewer.check()
    device, profile, run = found_by_ping(stack)
    for path in (
        "/admin/devices/device/",
        f"/admin/devices/device/{device}/change/",
        "/admin/devices/credentialprofile/",
        f"/admin/devices/credentialprofile/{profile['credential_profile_id']}/change/",
        "/admin/discovery/discoveryprofile/",
        f"/admin/discovery/discoveryprofile/{profile['id']}/change/",
        f"/admin/discovery/discoveryrun/{run}/change/",
    ):
        viewer.goto(path)
        assert page.locator("a.addlink, button[name=index], .nms-tools a:has-text('Import')").count() == 0
        assert page.locator("button[name=_save], .nms-buttons button, .nms-try").count() == 0
        viewer.check()
    for path in ("devices/device/add/", "devices/credentialprofile/add/", "discovery/discoveryprofile/add/"):
        assert page.request.get(f"{viewer.base_url}/admin/{path}").status == 403


def test_the_browsable_api_is_a_part_of_it(admin: Visitor) -> None:
    page = admin.goto("/admin/")
    page.locator("nav a[href='/api/v1/'], a[href='/api/v1/']").first.click()
    expect(
        page.get_by_role("link", name="Log out admin").or_(page.get_by_text("Log out admin"))
    ).to_be_visible()
    for path in ("/api/v1/", "/api/v1/devices/", "/api/v1/discovery_profiles/", "/api/v1/auth/me/"):
        admin.goto(path)
        admin.check()
    page.emulate_media(color_scheme="dark")
    admin.goto("/api/v1/devices/")
    admin.check()
    page.get_by_role("link", name="NMS", exact=True).click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def test_a_browser_without_scripts_shows_pages(stack: LiveStack, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{stack.client.base_url}/admin/login/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(stack.password)
        page.locator("button[type=submit], input[type=submit]").first.click()
        page.goto(f"{stack.client.base_url}/admin/devices/credentialprofile/")
        expect(page.get_by_role("link", name="Credential profiles").first).to_be_visible()


@pytest.mark.parametrize("is_hanging", [False, True])
def test_a_server_that_is_gone_is_said(admin: Visitor, stack: LiveStack, is_hanging: bool) -> None:
    page = admin.page
    expect(page.locator("#panel-at")).to_be_visible()
    page.route("**/admin/live/", lambda route: None if is_hanging else route.abort())
    expect(page.locator("#stale")).to_contain_text("the server does not answer", timeout=25_000)
    page.unroute("**/admin/live/")
    expect(page.locator("#stale")).to_be_hidden()


def test_the_keyboard_leads_everywhere(admin: Visitor) -> None:
    page = admin.page
    reached: set[Any] = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('href')"))
    assert "/admin/devices/device/?state=down" in reached
    assert "/admin/devices/device/" in reached
