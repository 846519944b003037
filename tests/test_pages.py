"""The pages of a customer, asked for as a browser does, without one."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import views
from accounts.keys import Kind, is_well_formed
from accounts.models import APIKey, Customer, User
from accounts.views import MAX_ACTIVE_KEYS
from tests.conftest import DIGIT, PASSWORD, Holder
from tests.pages import CODE, KEY, Page
from tests.threads import in_a_thread, still_waits

OPEN_PAGES = [
    "landing",
    "docs",
    "docs-errors",
    "docs-preprocessing",
    "account_login",
    "account_signup",
    "account_reset_password",
]
CUSTOMER_PAGES = [
    "dashboard",
    "usage",
    "billing",
    "keys",
    "account_email",
    "account_change_password",
    "account_logout",
]
STATIC = settings.BASE_DIR / "mnistapi" / "static" / "mnistapi"
TEMPLATES = settings.BASE_DIR / "mnistapi" / "templates"
NEW_KEY = {"name": "shop", "kind": "test", "lifetime": ""}


@pytest.fixture
def visitor(client: Client) -> Client:
    """A browser in which nobody is signed in; errors come as pages."""
    client.raise_request_exception = False
    return client


@pytest.fixture
def browser(visitor: Client, owner: Holder) -> Client:
    """A browser in which the owner is signed in."""
    visitor.force_login(owner.customer.user)
    return visitor


@pytest.fixture
def newcomer(visitor: Client, db: None) -> Client:
    """A browser in which somebody has signed up, and is asked for the code."""
    sign_up(visitor, "new@example.com")
    return visitor


def sign_up(browser: Client, email: str) -> Any:
    return browser.post(reverse("account_signup"), {"email": email, "password1": PASSWORD})


def enter(browser: Client, code: str) -> Any:
    return browser.post(reverse("account_email_verification_sent"), {"code": code})


def code_of_the_last_email() -> str:
    code = CODE.search(mail.outbox[-1].body)
    assert code, mail.outbox[-1].body
    return code[1]


def shown_key(answer: Any) -> str:
    """The one key in the answer."""
    (key,) = set(KEY.findall(answer.content.decode()))
    assert is_well_formed(key)
    return str(key)


def rows_with(text: str) -> Iterator[str]:
    """The tables that have the text, plain or as bytes, in any column of any row."""
    hexadecimal = text.encode().hex()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(
                f'SELECT 1 FROM "{table}" t WHERE t::text LIKE %s OR t::text LIKE %s LIMIT 1',
                [f"%{text}%", f"%{hexadecimal}%"],
            )
            if cursor.fetchone():
                yield table


# Every page


@pytest.mark.django_db
@pytest.mark.parametrize("name", OPEN_PAGES)
def test_an_open_page_works_for_anyone(visitor: Client, name: str) -> None:
    assert visitor.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", CUSTOMER_PAGES)
def test_a_customers_page_works(browser: Client, name: str) -> None:
    assert browser.get(reverse(name)).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["dashboard", "usage", "billing", "keys", "account_email"])
def test_a_customers_page_leads_others_to_sign_in(visitor: Client, name: str) -> None:
    answer = visitor.get(reverse(name))
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (
        302,
        reverse("account_login"),
    )


@pytest.mark.django_db
@pytest.mark.parametrize("action", ["create-key", "rotate-key", "revoke-key"])
def test_nobody_touches_keys_without_signing_in(
    visitor: Client, owner: Holder, action: str
) -> None:
    arguments = [] if action == "create-key" else [owner.row.pk]
    answer = visitor.post(reverse(action, args=arguments), NEW_KEY | {"overlap": "0"})
    assert answer["Location"].startswith(reverse("account_login"))
    assert list(APIKey.objects.values("pk", "revoked_at", "expires_at")) == [
        {"pk": owner.row.pk, "revoked_at": None, "expires_at": None}
    ]


@pytest.mark.parametrize("name", OPEN_PAGES + CUSTOMER_PAGES)
def test_a_page_loads_nothing_from_elsewhere(browser: Client, name: str) -> None:
    answer = browser.get(reverse(name), follow=True)
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"] or name == "docs"
    page = Page(answer.content.decode())
    assert page.addresses
    assert page.elsewhere == []
    assert page.inline == [] or name == "docs"


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in OPEN_PAGES if name != "docs"])
def test_an_open_page_suits_a_screen_reader(visitor: Client, name: str) -> None:
    check_structure(visitor.get(reverse(name)))


@pytest.mark.parametrize("name", CUSTOMER_PAGES)
def test_a_customers_page_suits_a_screen_reader(
    browser: Client, holder: Callable[..., Holder], name: str
) -> None:
    holder("owner@example.com")
    check_structure(browser.get(reverse(name)))


def check_structure(answer: Any) -> None:
    page = Page(answer.content.decode())
    assert page.headings.count("h1") == 1
    assert page.headings[0] == "h1"
    assert len(page.ids) == len(set(page.ids))
    assert set(page.fields) <= page.labelled


@pytest.mark.django_db
def test_the_front_page_is_there_for_monitors_too(visitor: Client) -> None:
    assert visitor.head("/").status_code == 200


def test_the_picture_on_the_front_page_is_the_example_digit() -> None:
    drawn = re.findall(
        r'M(\d+) (\d+)h1v1h-1z" opacity="([\d.e-]+)"', (STATIC / "digit.svg").read_text()
    )
    pixels = [0] * 784
    for x, y, opacity in drawn:
        pixels[int(y) * 28 + int(x)] = round(float(opacity) * 255)
    assert pixels == json.loads(DIGIT.read_text())


def test_no_style_is_for_a_class_that_no_page_has() -> None:
    from_django = {"errorlist", "helptext", "active", "revoked", "expired"}
    pages = "\n".join(page.read_text() for page in TEMPLATES.rglob("*.html"))
    scripts = "\n".join(script.read_text() for script in STATIC.glob("*.js"))
    written = re.findall(r'class="([^"]*)"', pages) + re.findall(r'"([^"]*)"', scripts)
    used = {name for classes in written for name in re.findall(r"[\w-]+", classes)}
    styled = set(re.findall(r"\.([a-z][\w-]*)", (STATIC / "style.css").read_text()))
    panels = {"chart-calls-a-day", "chart-share-of-errors"}  # named by billing.drawing
    assert styled <= used | from_django | panels


# Errors


@pytest.mark.django_db
def test_a_missing_page_is_a_page_for_people(visitor: Client) -> None:
    answer = visitor.get("/nowhere/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at this address." in answer.content.decode()
    assert answer["X-Request-Id"] in answer.content.decode()


@pytest.mark.django_db
def test_a_missing_address_of_the_api_is_a_problem_for_programs(visitor: Client) -> None:
    answer = visitor.get("/v1/nowhere")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/dashboard/"])
def test_without_a_database_there_is_still_an_error_page(visitor: Client, path: str) -> None:
    # pytest-django refuses every query here, as this test does not ask for a database.
    visitor.cookies[settings.SESSION_COOKIE_NAME] = "s" * 32
    answer = visitor.get(path)
    assert answer.status_code == 500
    page = answer.content.decode()
    assert "The fault is ours" in page
    assert answer["X-Request-Id"] in page
    assert Page(page).elsewhere == []


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_with_a_page(owner: Holder) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner.customer.user)
    answer = strict.post(reverse("create-key"), NEW_KEY)
    assert (answer.status_code, answer["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert "This form has expired." in answer.content.decode()
    assert owner.customer.keys.count() == 1


@pytest.mark.django_db
def test_too_many_attempts_are_refused_with_a_page(visitor: Client) -> None:
    reset = reverse("account_reset_password")
    answers = [visitor.post(reset, {"email": "owner@example.com"}) for _ in range(6)]
    assert answers[-1].status_code == 429
    assert "Wait a few minutes" in answers[-1].content.decode()


@pytest.mark.django_db
def test_a_session_that_cannot_be_one_is_none(visitor: Client) -> None:
    cookie = rf'{settings.SESSION_COOKIE_NAME}="aaaaaaaa\000"'  # as cookies write NUL
    assert visitor.get(reverse("dashboard"), headers={"Cookie": cookie}).status_code == 302


@pytest.mark.django_db
def test_a_file_is_refused_before_it_is_read(visitor: Client) -> None:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    file = SimpleUploadedFile("x", b"x" * most)
    answer = visitor.post(reverse("account_login"), {"file": file})
    assert answer.status_code == 413
    assert f"A form may have {most:,} bytes." in answer.content.decode()
    assert not answer.wsgi_request._read_started
    form = {"login": "owner@example.com", "password": PASSWORD}
    assert visitor.post(reverse("account_login"), form).status_code == 200


@pytest.mark.django_db
def test_a_password_is_tried_five_times_whatever_host_was_asked(visitor: Client) -> None:
    form = {"login": "owner@example.com", "password": "a guess"}
    for port in range(6):
        visitor.defaults["REMOTE_ADDR"] = f"10.0.0.{port}"
        page = visitor.post(
            reverse("account_login"), form, headers={"Host": f"testserver:{port + 1}"}
        ).text
        assert ("Too many failed login attempts" in page) == (port == 5)


# Signing up


def test_a_new_customer_has_a_test_key_at_once(newcomer: Client) -> None:
    answer = enter(newcomer, code_of_the_last_email())
    assert answer.status_code == 200
    row = APIKey.objects.look_up(shown_key(answer))
    assert row
    assert (str(row.customer), row.kind, row.state) == ("new@example.com", Kind.TEST, "active")
    assert newcomer.get(reverse("dashboard")).status_code == 200


def test_the_three_snippets_have_the_key_in_them(newcomer: Client) -> None:
    answer = enter(newcomer, code_of_the_last_email())
    snippets = re.findall(r"<section id=.*?</section>", answer.content.decode(), re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        assert shown_key(answer) in snippet
        assert f"{settings.PUBLIC_URL}/v1/predictions" in snippet


def test_a_wrong_code_gives_no_key(newcomer: Client) -> None:
    answer = enter(newcomer, "WRONG")
    assert "Incorrect code" in answer.content.decode()
    assert not APIKey.objects.exists()
    assert newcomer.get(reverse("dashboard")).status_code == 302


def test_who_has_a_key_gets_no_other_by_confirming_another_address(
    browser: Client, owner: Holder
) -> None:
    browser.post(reverse("account_email"), {"action_add": "", "email": "second@example.com"})
    answer = enter(browser, code_of_the_last_email())
    assert answer.status_code == 302
    assert owner.customer.user.emailaddress_set.filter(verified=True).count() == 2
    assert owner.customer.keys.count() == 1


def test_signing_up_does_not_tell_who_is_a_customer(owner: Holder) -> None:
    def seen_by_somebody_who_signs_up_as(email: str) -> tuple[int, str, str]:
        browser = Client()
        answer = sign_up(browser, email)
        page = browser.get(answer["Location"]).content.decode()
        page = re.sub(r'(?<=name="csrfmiddlewaretoken" value=")\w+', "", page)
        return answer.status_code, answer["Location"], page.replace(email, "ADDRESS")

    known = seen_by_somebody_who_signs_up_as("owner@example.com")
    assert known == seen_by_somebody_who_signs_up_as("other@example.com")
    assert [message.subject for message in mail.outbox] == [
        "You already have an mnistapi account",
        "Your code for mnistapi",
    ]


def test_signing_up_hashes_a_password_whether_or_not_it_is_kept(
    owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    encode = PBKDF2PasswordHasher.encode

    def counted(self: PBKDF2PasswordHasher, password: str, *arguments: Any) -> str:
        hashed.append(password)
        return encode(self, password, *arguments)

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", counted)
    sign_up(Client(), "owner@example.com")
    sign_up(Client(), "other@example.com")
    assert hashed == [PASSWORD] * 2


def test_asking_for_a_new_password_does_not_tell_who_is_a_customer(owner: Holder) -> None:
    def seen_by_somebody_who_forgot_that_of(email: str) -> tuple[int, str, str]:
        browser = Client()
        answer = browser.post(reverse("account_reset_password"), {"email": email})
        page = browser.get(answer["Location"]).content.decode()
        page = re.sub(r'(?<=name="csrfmiddlewaretoken" value=")\w+', "", page)
        return answer.status_code, answer["Location"], page.replace(email, "ADDRESS")

    known = seen_by_somebody_who_forgot_that_of("owner@example.com")
    assert known == seen_by_somebody_who_forgot_that_of("other@example.com")


def test_an_email_with_a_code_is_short_and_says_from_whom_it_is(newcomer: Client) -> None:
    (message,) = mail.outbox
    assert "mnistapi" in message.subject
    assert len(message.body.splitlines()) < 10
    assert code_of_the_last_email() in message.body


@pytest.mark.parametrize(("page", "known"), [("signup", True), ("reset_password", False)])
def test_an_email_leads_to_the_public_address_whatever_host_was_asked(
    visitor: Client, owner: Holder, page: str, known: bool
) -> None:
    email = "owner@example.com" if known else "nobody@example.com"
    form = {"email": email, "password1": PASSWORD}
    visitor.post(reverse(f"account_{page}"), form, headers={"Host": "testserver:1"})
    (mail_sent,) = mail.outbox
    addresses = re.findall(r"http\S+", mail_sent.body)
    assert len(addresses) == 2
    assert all(address.startswith(settings.PUBLIC_URL) for address in addresses)


@pytest.mark.parametrize("page", ["signup", "reset_password"])
def test_an_address_gets_ten_emails_an_hour_whoever_asks_for_them(
    owner: Holder, settings: Any, page: str
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Slower than in this test one gets there as well.
    hurried = {"reset_password": "20/m/ip", "confirm_email": "20/m/key"}
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | hurried
    form = {"email": "Owner@example.com", "password1": PASSWORD}
    for number in range(12):
        somebody = Client(REMOTE_ADDR=f"10.0.0.{number}")
        assert somebody.post(reverse(f"account_{page}"), form).status_code == 302
    assert len(mail.outbox) == 10


def test_an_operator_who_confirms_his_address_goes_on_to_the_admin(
    visitor: Client, db: None
) -> None:
    User.objects.create_superuser("operator@example.com", PASSWORD)
    login = f"{reverse('account_login')}?next=/admin/"
    visitor.post(login, {"login": "operator@example.com", "password": PASSWORD})
    answer = enter(visitor, code_of_the_last_email())
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert not APIKey.objects.exists()


# Keys


def test_a_customer_sees_his_keys_and_nobody_elses(
    browser: Client, owner: Holder, revoked: Holder, stranger: Holder
) -> None:
    page = browser.get(reverse("keys")).content.decode()
    assert str(owner.row) in page
    assert str(revoked.row) in page
    assert str(stranger.row) not in page
    assert reverse("revoke-key", args=[owner.row.pk]) in page
    assert reverse("revoke-key", args=[revoked.row.pk]) not in page


def test_a_key_is_created_as_asked_for(browser: Client, owner: Holder) -> None:
    answer = browser.post(reverse("create-key"), NEW_KEY | {"kind": "live", "lifetime": "90"})
    assert answer.status_code == 200
    row = APIKey.objects.look_up(shown_key(answer))
    assert row
    assert (row.customer, row.name, row.kind) == (owner.customer, "shop", Kind.LIVE)
    assert row.expires_at
    assert abs(row.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)


def test_a_key_is_in_the_answer_that_made_it_and_nowhere_else(browser: Client) -> None:
    answer = browser.post(reverse("create-key"), NEW_KEY)
    key = shown_key(answer)
    assert "no-store" in answer["Cache-Control"]
    assert key not in json.dumps(dict(browser.session.items()))
    assert key not in browser.cookies.output()
    assert not any(key in value for value in answer.headers.values())
    assert key not in browser.get(reverse("keys")).content.decode()
    assert list(rows_with(key)) == []
    assert list(rows_with(key[11:])) == []


def test_the_search_for_a_key_would_find_it(browser: Client) -> None:
    key = shown_key(browser.post(reverse("create-key"), NEW_KEY | {"name": "decoy"}))
    APIKey.objects.filter(name="decoy").update(name=key)
    assert list(rows_with(key)) == ["accounts_apikey"]
    APIKey.objects.filter(name=key).update(name="", digest=key.encode())
    assert list(rows_with(key)) == ["accounts_apikey"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "n" * 61}, "at most 60 characters"),
        ({"kind": "free"}, "Select a valid choice."),
        ({"lifetime": "31"}, "Select a valid choice."),
    ],
)
def test_a_wrong_form_is_shown_again_with_what_is_wrong(
    browser: Client, owner: Holder, wrong: dict[str, str], said: str
) -> None:
    answer = browser.post(reverse("create-key"), NEW_KEY | wrong)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert owner.customer.keys.count() == 1


def test_a_live_key_needs_a_confirmed_address(visitor: Client, db: None) -> None:
    user = User.objects.create_user("unconfirmed@example.com", PASSWORD)
    visitor.force_login(user)
    answer = visitor.post(reverse("create-key"), NEW_KEY | {"kind": "live"})
    assert answer.status_code == 422
    assert "Confirm your e-mail address first." in answer.content.decode()
    assert visitor.post(reverse("create-key"), NEW_KEY).status_code == 200
    assert [key.kind for key in Customer.objects.of(user).keys.all()] == [Kind.TEST]


def test_there_is_an_end_to_active_keys(
    browser: Client, owner: Holder, revoked: Holder, holder: Callable[..., Holder]
) -> None:
    for _ in range(MAX_ACTIVE_KEYS - 2):
        holder("owner@example.com")
    assert browser.post(reverse("create-key"), NEW_KEY).status_code == 200
    answer = browser.post(reverse("create-key"), NEW_KEY)
    assert answer.status_code == 422
    assert "50 keys are active." in answer.content.decode()
    assert owner.customer.keys.active().count() == MAX_ACTIVE_KEYS
    rotate = reverse("rotate-key", args=[owner.row.pk])
    assert browser.post(rotate, {"overlap": "24"}).status_code == 422
    assert browser.post(rotate, {"overlap": "0"}).status_code == 200
    assert owner.customer.keys.active().count() == MAX_ACTIVE_KEYS


def test_all_active_keys_are_shown_and_the_last_of_the_others(
    browser: Client, owner: Holder, holder: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MAX_OTHER_KEYS", 2)
    others = [holder("owner@example.com").row for _ in range(3)]
    active = [owner.row, holder("owner@example.com").row]
    APIKey.objects.filter(pk__in=[key.pk for key in others]).revoke()
    shown = browser.get(reverse("keys")).context["keys"]
    assert shown == [active[1], others[2], others[1], active[0]]


@pytest.mark.parametrize(
    ("target", "page"), [("create-key", "keys"), ("add-card", "billing"), ("portal", "billing")]
)
def test_a_form_that_was_sent_before_signing_in_leads_to_its_page(
    browser: Client, target: str, page: str
) -> None:
    answer = browser.get(reverse(target))
    assert (answer.status_code, answer["Location"]) == (302, reverse(page))


def test_a_rotated_key_works_until_the_overlap_is_over(browser: Client, owner: Holder) -> None:
    end = timezone.now() + timedelta(days=300)
    APIKey.objects.filter(pk=owner.row.pk).update(name="shop", expires_at=end)
    answer = browser.post(reverse("rotate-key", args=[owner.row.pk]), {"overlap": "24"})
    assert answer.status_code == 200
    successor = APIKey.objects.look_up(shown_key(answer))
    assert successor
    assert (successor.name, successor.kind, successor.expires_at) == ("shop", Kind.TEST, end)
    old = APIKey.objects.get(pk=owner.row.pk)
    assert old.state == "active"
    assert old.expires_at
    assert abs(old.expires_at - timezone.now() - timedelta(days=1)) < timedelta(minutes=1)


def test_a_key_has_one_successor(browser: Client, owner: Holder) -> None:
    """A second one would inherit the end of the overlap, and die with it."""
    rotate = reverse("rotate-key", args=[owner.row.pk])
    assert browser.post(rotate, {"overlap": "24"}).status_code == 200
    assert rotate not in browser.get(reverse("keys")).content.decode()
    assert browser.post(rotate, {"overlap": "24"}).status_code == 404
    assert [key.expires_at for key in owner.customer.keys.rotatable()] == [None]


def test_a_key_rotated_without_overlap_is_revoked(browser: Client, owner: Holder) -> None:
    browser.post(reverse("rotate-key", args=[owner.row.pk]), {"overlap": "0"})
    assert APIKey.objects.get(pk=owner.row.pk).state == "revoked"


@pytest.mark.django_db(transaction=True)
def test_of_two_rotations_at_once_one_makes_a_key(owner: Holder) -> None:
    def rotate() -> int:
        browser = Client()
        browser.force_login(owner.customer.user)
        form = {"overlap": "0"}
        return browser.post(reverse("rotate-key", args=[owner.row.pk]), form).status_code

    with transaction.atomic():
        APIKey.objects.select_for_update().get(pk=owner.row.pk)  # so that neither is through
        rotations = [in_a_thread(rotate) for _ in range(2)]
        assert all(still_waits(rotation) for rotation in rotations)
    assert sorted(rotation.result(timeout=10) for rotation in rotations) == [200, 404]
    assert owner.customer.keys.active().count() == 1


def test_an_overlap_that_is_not_offered_is_refused(browser: Client, owner: Holder) -> None:
    answer = browser.post(reverse("rotate-key", args=[owner.row.pk]), {"overlap": "9999"})
    assert answer.status_code == 422
    assert "Select a valid choice." in answer.content.decode()
    assert owner.customer.keys.count() == 1
    assert APIKey.objects.get(pk=owner.row.pk).expires_at is None


def test_a_revoked_key_cannot_be_rotated(browser: Client, revoked: Holder) -> None:
    answer = browser.post(reverse("rotate-key", args=[revoked.row.pk]), {"overlap": "24"})
    assert answer.status_code == 404
    assert revoked.customer.keys.active().count() == 1


def test_revoking_says_so_and_cannot_be_undone(browser: Client, owner: Holder) -> None:
    revoke = reverse("revoke-key", args=[owner.row.pk])
    page = browser.post(revoke, follow=True).content.decode()
    assert f"{owner.row} is revoked." in page
    first = APIKey.objects.get(pk=owner.row.pk).revoked_at
    assert first
    browser.post(revoke)
    assert APIKey.objects.get(pk=owner.row.pk).revoked_at == first


@pytest.mark.parametrize("action", ["rotate-key", "revoke-key"])
def test_a_strangers_key_is_not_found(browser: Client, stranger: Holder, action: str) -> None:
    answer = browser.post(reverse(action, args=[stranger.row.pk]), {"overlap": "0"})
    assert answer.status_code == 404
    assert APIKey.objects.get(pk=stranger.row.pk).state == "active"
    assert stranger.customer.keys.count() == 1


def test_the_name_of_a_key_is_text_and_not_markup(browser: Client) -> None:
    script = "<script>alert(1)</script>"
    made = browser.post(reverse("create-key"), NEW_KEY | {"name": script}).content.decode()
    listed = browser.get(reverse("keys")).content.decode()
    assert script not in made + listed
    assert "&lt;script&gt;alert(1)" in made
    assert "&lt;script&gt;alert(1)" in listed
