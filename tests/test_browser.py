"""A person, a browser and the product as it runs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser

from tests.browsing import Person, open_chromium
from tests.serving import Server

NODE = compute_driver_executable()[0]
OPEN_PAGES = [
    "/",
    "/docs/",
    "/docs/errors/",
    "/docs/preprocessing/",
    "/models/",
    "/models/softmax-1",
    "/playground/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
]
CUSTOMER_PAGES = [
    "/",
    "/dashboard/",
    "/dashboard/keys/",
    "/dashboard/usage/",
    "/dashboard/billing/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/logout/",
]

BUSY_HOUR = """
INSERT INTO billing_usagehour (customer_id, key_id, release, hour, calls, units, errors)
SELECT k.customer_id, k.id, '', date_trunc('hour', now()), 23456789, 12345678, 2345678
FROM accounts_apikey k JOIN accounts_customer c ON c.id = k.customer_id
JOIN accounts_user u ON u.id = c.user_id WHERE u.email = %s
"""
CALLS_OF = """
SELECT release, status, units FROM predictions_call AS call
JOIN accounts_customer AS customer ON customer.id = call.customer_id
JOIN accounts_user AS who ON who.id = customer.user_id
WHERE email = %s ORDER BY call.id
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def person(chromium: Browser, server: Server) -> Iterator[Person]:
    """At the end, his browser must have had nothing to complain of, and no other server."""
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    person = Person(context.new_page(), server)
    yield person
    context.close()
    assert person.complaints == []
    assert [url for url in person.requests if not url.startswith(f"{server.url}/")] == []


def output(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def status(server: Server, key: str) -> int:
    return server.post("/v1/predictions", [0] * 784, key).status


def test_from_signing_up_to_the_first_answer(person: Person, server: Server) -> None:
    key = person.sign_up()
    assert person.copy(person.page.locator(".copyable").first) == key
    curl = person.copy_snippet("curl")
    assert key in curl
    answer = json.loads(output("bash", "-c", curl))
    assert answer["predictions"][0]["digit"] == 3
    rows = server.rows("SELECT status, units FROM predictions_call WHERE id = %s", answer["id"])
    assert rows == [(200, 1)]


def test_the_python_snippet_works_as_pasted(person: Person, tmp_path: Path) -> None:
    person.sign_up()
    script = tmp_path / "digit.py"
    script.write_text(person.copy_snippet("Python"))
    assert output(sys.executable, "-I", str(script)) == "3"


@pytest.mark.parametrize("name", ["digit.cjs", "digit.mjs"])
def test_the_javascript_snippet_works_as_pasted(person: Person, tmp_path: Path, name: str) -> None:
    person.sign_up()
    script = tmp_path / name
    script.write_text(person.copy_snippet("JavaScript"))
    assert output(NODE, str(script)) == "3"


def test_the_answer_on_the_front_page_has_the_form_of_a_real_one(
    person: Person, server: Server
) -> None:
    test_key = server.manage("create_key", "reader@example.com")
    person.open("/")
    shown = json.loads(person.page.locator("pre").filter(has_text="probabilities").inner_text())
    digit = server.get("/static/mnistapi/digit.json").body
    asked = {"image": digit, "release": shown["release"]}
    real = server.post("/v1/predictions", asked, test_key).body
    assert shape(shown) == shape(real)
    for prediction in (*shown["predictions"], *real["predictions"]):
        assert prediction["digit"] == 3
    assert shown["predictions"][0]["probabilities"] == pytest.approx(
        real["predictions"][0]["probabilities"], abs=1e-4
    )


def shape(value: object) -> object:
    """The value with its texts and numbers left out."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


def test_a_forgotten_password_is_replaced_by_code(person: Person) -> None:
    person.sign_up()
    person.page.get_by_role("button", name="Sign out").click()
    person.open("/accounts/login/")
    person.page.get_by_role("link", name="Forgot your password?").click()
    person.fill(email=person.email)
    person.fill(code=person.code())
    person.fill(password1="a new one, and a long one", password2="a new one, and a long one")
    person.page.get_by_role("main").get_by_role("link", name="Sign in").click()
    person.fill(login=person.email, password="a new one, and a long one")
    assert urlsplit(person.page.url).path == "/dashboard/"


def test_keys_are_created_rotated_and_revoked_by_clicking(person: Person, server: Server) -> None:
    first = person.sign_up()
    person.open("/dashboard/keys/")
    person.page.get_by_text("Create a key", exact=True).click()
    person.page.get_by_label("Name").fill("shop")
    person.page.get_by_label("Kind").select_option("live")
    person.page.get_by_label("Expires").select_option("in 30 days")
    person.page.get_by_role("button", name="Create the key").click()
    created = person.key()
    assert created.startswith("mnist_live_")

    person.page.get_by_role("link", name="on to the keys").click()
    row = person.row("shop")
    row.get_by_text("Rotate shop").click()
    row.get_by_label("The old key works for").select_option("another hour")
    row.get_by_role("button", name="Rotate this key").click()
    rotated = person.key()
    assert [status(server, key) for key in (first, created, rotated)] == [200, 200, 200]

    person.open("/dashboard/keys/")
    row = person.row(rotated[-4:])
    row.get_by_text("Revoke shop").click()
    row.get_by_role("button", name="Revoke this key").click()
    person.page.get_by_role("status").filter(has_text="is revoked").wait_for()
    assert "revoked" in person.row(rotated[-4:]).inner_text()
    assert [status(server, key) for key in (first, created, rotated)] == [200, 200, 401]


def test_the_reference_shows_the_calls(person: Person) -> None:
    person.open("/docs/")
    person.page.get_by_text("/v1/predictions", exact=True).click()
    person.page.get_by_text("Recognise handwritten digits").wait_for()
    person.page.get_by_role("button", name="Try it out").wait_for()
    assert f"{person.server.url}/openapi.json" in person.requests


def test_a_digit_is_drawn_in_the_playground(person: Person, server: Server) -> None:
    key = person.sign_up()
    person.page.get_by_role("link", name="Draw a digit in the playground").click()
    outcome = person.page.locator("#outcome")

    def ask(key: str) -> None:
        person.page.get_by_label("Your key").fill(key)
        person.page.get_by_role("button", name="Ask").click()

    draw(person, (140, 60), (140, 220))
    ask(key)
    outcome.get_by_text("1", exact=True).first.wait_for()
    assert outcome.locator(".found").inner_text() == "1"
    outcome.get_by_text("softmax-1 · not billed").wait_for()
    assert outcome.get_by_role("progressbar").count() == 10

    person.page.get_by_role("button", name="Clear").click()
    assert outcome.inner_text() == ""
    person.page.get_by_label("Release").select_option("cnn-1")
    ask(key)
    outcome.get_by_text("None: blank").wait_for()
    assert server.rows(CALLS_OF, person.email) == [("softmax-1", 200, 1), ("cnn-1", 200, 1)]

    ask(f"{key[:20]}…{key[-4:]}")  # as the page of keys shows it
    outcome.get_by_text("a whole one is shown once").wait_for()

    ask(key[:-1])
    outcome.get_by_text("API key", exact=False).first.wait_for()
    assert [text for text in person.complaints if "401" in text] == person.complaints
    person.complaints.clear()
    assert key not in person.page.evaluate("JSON.stringify([localStorage, sessionStorage])")


def draw(person: Person, start: tuple[int, int], stop: tuple[int, int]) -> None:
    """A line on the paper."""
    box = person.page.locator("#paper").bounding_box()
    assert box
    mouse = person.page.mouse
    mouse.move(box["x"] + start[0], box["y"] + start[1])
    mouse.down()
    mouse.move(box["x"] + stop[0], box["y"] + stop[1], steps=8)
    mouse.up()


def test_every_page_is_quiet_and_fits_a_telephone(person: Person, server: Server) -> None:
    person.page.set_viewport_size({"width": 360, "height": 740})
    for path in OPEN_PAGES:
        person.open(path)
        assert width(person) == 360, path
    person.sign_up()
    assert width(person) == 360
    server.rows(BUSY_HOUR, person.email)
    for path in CUSTOMER_PAGES:
        person.open(path)
        assert urlsplit(person.page.url).path == path
        person.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        assert width(person) == 360, path


def width(person: Person) -> int:
    return int(person.page.evaluate("document.documentElement.scrollWidth"))


def test_the_arrow_keys_choose_a_snippet(person: Person) -> None:
    person.sign_up()
    person.page.get_by_role("tab", name="curl").focus()
    person.page.keyboard.press("ArrowRight")
    assert person.page.locator("#python").is_visible()
    assert person.page.locator("#curl").is_hidden()
    person.page.keyboard.press("ArrowLeft")
    person.page.keyboard.press("ArrowLeft")
    assert person.page.locator("#javascript").is_visible()


def test_everything_works_without_javascript(chromium: Browser, server: Server) -> None:
    context = chromium.new_context(java_script_enabled=False)
    person = Person(context.new_page(), server)
    key = person.sign_up()
    for language in ("curl", "python", "javascript"):
        assert key in person.page.locator(f"#{language} pre").inner_text()
        assert person.page.locator(f"#{language} h3").is_visible()
    person.open("/dashboard/keys/")
    person.page.get_by_text("Revoke First test key").click()
    person.page.get_by_role("button", name="Revoke this key").click()
    assert status(server, key) == 401
    context.close()
