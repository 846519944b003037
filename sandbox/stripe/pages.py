"""The pages that a customer sees at Stripe: checkout, portal, a hosted invoice. Plain forms."""

from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs

from sandbox.stripe import cards, checkout, collection, cycles, lines, portal
from sandbox.stripe.customers import ADDRESS
from sandbox.stripe.errors import Refusal
from sandbox.stripe.exchange import Reply, Request
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

GOOD, BAD = "pm_card_visa", "pm_card_chargeCustomerFail"
HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }}
button {{ font: inherit; padding: .4rem .9rem; margin: .2rem .4rem .2rem 0 }}
td {{ padding: .1rem .8rem .1rem 0 }} .error {{ color: #a00 }}
</style>
<p>Sandbox: no money moves.</p>
<h1>{title}</h1>
"""
CARDS = f"""<button name="do" value="{GOOD}">{{verb}} the test card (4242)</button>
<button name="do" value="{BAD}">{{verb}} a card that is declined when charged (0341)</button>
"""
DECLINED = "Your card was declined."

Form = dict[str, str]


def answer(world: World, request: Request) -> Reply:
    """A page, or where to go after its form was sent."""
    _, kind, id, *_ = [*request.path.split("/"), "", ""]
    given = {k: v[-1] for k, v in parse_qs(request.body.decode(errors="replace")).items()}
    with world.lock:
        try:
            return PAGES.get(kind, no_page)(world, id, given)
        except Refusal as refusal:
            return html("Sorry", paragraph(str(refusal)), refusal.status)
        finally:
            world.save()


def html(title: str, body: str, status: int = 200) -> Reply:
    page = HEAD.format(title=escape(title)) + body
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def redirect(url: str) -> Reply:
    return Reply(303, b"", {"Location": url})


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def link(url: str | None, text: str) -> str:
    return f'<p><a href="{escape(url)}">{escape(text)}</a></p>' if url else ""


def form(content: str) -> str:
    return f'<form method="post">{content}</form>'


def no_page(world: World, id: str, given: Form) -> Reply:
    return html("There is no such page", "", 404)


def checkout_page(world: World, id: str, given: Form) -> Reply:
    session = world.fetch("checkout.session", id)
    wish, error = given.get("do"), ""
    if wish == "decline":
        checkout.decline(world, session)
        error = DECLINED
    elif wish:
        return redirect(checkout.complete(world, session, wish))
    if session["status"] != "open":
        return html("Add a card", paragraph(f"This session is {session['status']}."))
    buttons = (
        CARDS.format(verb="Pay with") + '<button name="do" value="decline">Card declined</button>'
    )
    back = link(session["cancel_url"], "Back, without a card")
    return html("Add a card", paragraph(error, "error") + form(buttons) + back)


def portal_page(world: World, id: str, given: Form) -> Reply:
    session = world.fetch("billing_portal.session", id)
    wish, subscription = given.get("do", ""), given.get("subscription", "")
    if wish in (GOOD, BAD):
        portal.change_card(world, session, wish)
    elif wish == "details":
        portal.change_details(world, session, given)
    elif wish == "cancel":
        portal.cancel(world, session, subscription)
    elif wish == "keep":
        portal.keep(world, session, subscription)
    if wish:
        return redirect(f"/portal/{id}")
    return html("Billing", portal_body(world, session))


def portal_body(world: World, session: Json) -> str:
    configuration = world.fetch("billing_portal.configuration", session["configuration"])
    offers = {name: it["enabled"] for name, it in configuration["features"].items()}
    customer = world.fetch("customer", session["customer"])
    parts = [card_part(world, customer)]
    if offers["payment_method_update"]:
        parts.append(form(CARDS.format(verb="Change to")))
    if offers["customer_update"]:
        allowed = configuration["features"]["customer_update"]["allowed_updates"]
        parts.append(details_part(customer, allowed))
    for subscription in cycles.living_of(world, customer["id"]):
        parts.append(subscription_part(subscription, offers["subscription_cancel"]))
    if offers["invoice_history"]:
        parts += [
            invoice_part(invoice)
            for invoice in world.store.all("invoice")[::-1]
            if invoice["customer"] == customer["id"] and invoice["number"]
        ]
    return "".join(parts) + link(session["return_url"], "Back")


def card_part(world: World, customer: Json) -> str:
    default = customer["invoice_settings"]["default_payment_method"]
    if default is None:
        return paragraph("You have no card.")
    return paragraph(
        f"Your card ends in {world.fetch('payment_method', default)['card']['last4']}."
    )


def details_part(customer: Json, allowed: list[str]) -> str:
    """One form for all that may be changed, filled in with what is known."""
    known: dict[str, str | None] = {n: customer[n] for n in portal.SIMPLE if n in allowed}
    if "address" in allowed:
        known |= customer["address"] or dict.fromkeys(ADDRESS)
    if "tax_id" in allowed:
        known |= {"tax_id_type": "eu_vat", "tax_id": None}
    inputs = [
        f'<label>{name} <input name="{name}" value="{escape(value or "")}"></label><br>'
        for name, value in known.items()
    ]
    return form("".join(inputs) + '<button name="do" value="details">Save</button>')


def subscription_part(subscription: Json, can_cancel: bool) -> str:
    id, ending = subscription["id"], subscription["cancel_at_period_end"]
    text = paragraph(
        f"Subscription: {'ends with the period' if ending else subscription['status']}."
    )
    hidden = f'<input type="hidden" name="subscription" value="{escape(id)}">'
    do, verb = ("keep", "Keep") if ending else ("cancel", "Cancel")
    button = f'<button name="do" value="{do}">{verb} the subscription</button>'
    return text + (form(hidden + button) if can_cancel else "")


def invoice_part(invoice: Json) -> str:
    sign = lines.SIGNS[invoice["currency"]]
    text = f"{invoice['number']}: {sign}{invoice['total'] / 100:.2f}, {invoice['status']}"
    return link(invoice["hosted_invoice_url"], text)


def invoice_page(world: World, id: str, given: Form) -> Reply:
    invoice = world.fetch("invoice", id)
    error, wish = "", given.get("do")
    if wish and invoice["status"] == "open":
        error = pay(world, invoice, wish)
    if wish and not error:
        return redirect(f"/invoice/{id}")
    sign = lines.SIGNS[invoice["currency"]]
    rows = "".join(
        f"<tr><td>{escape(row['description'])}<td>{sign}{row['amount'] / 100:.2f}"
        for row in invoice["lines"]["data"]
    )
    total = f"Total {sign}{invoice['total'] / 100:.2f}, {invoice['status']}."
    buttons = form(CARDS.format(verb="Pay with")) if invoice["status"] == "open" else ""
    body = f"<table>{rows}</table>" + paragraph(total) + paragraph(error, "error") + buttons
    return html(f"Invoice {invoice['number']}", body)


def pay(world: World, invoice: Json, card: str) -> str:
    """Charge another card; what went wrong, if anything did."""
    method = cards.make(world, card, invoice["customer"])
    return DECLINED if collection.attempt(world, invoice, method["id"]) else ""


PAGES: dict[str, Callable[[World, str, Form], Reply]] = {
    "checkout": checkout_page,
    "portal": portal_page,
    "invoice": invoice_page,
}
