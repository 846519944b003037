"""The page on which a digit is drawn and sent."""

import re

from django.test import Client

from model import serving
from predictions.catalogue import names
from tests.pages import Page
from tests.test_pages import check_structure


def test_everybody_may_see_it_and_choose_a_release(release: str, client: Client) -> None:
    answer = client.get("/playground/")
    assert answer.status_code == 200
    check_structure(answer)
    options = re.findall("<option.*?>(.*?)</option>", answer.content.decode())
    assert options == [f"the current one ({release})", *names(serving.loaded())]


def test_it_loads_nothing_from_elsewhere(release: str, client: Client) -> None:
    page = Page(client.get("/playground/").content.decode())
    assert page.elsewhere == []
    assert page.inline == []


def test_without_javascript_no_key_can_be_sent_by_the_form(release: str, client: Client) -> None:
    page = client.get("/playground/").content.decode()
    (form,) = re.findall("<form id=.playground.*?</form>", page, re.DOTALL)
    assert " name=" not in form
    assert re.match("<form[^>]* hidden>", form)
