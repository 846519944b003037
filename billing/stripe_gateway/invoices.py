"""Invoices, from the draft to the payment."""

from typing import Any

from billing.stripe_gateway.client import PAGE, asks_stripe, v1
from billing.stripe_gateway.reading import id_of, text
from billing.stripe_gateway.values import Invoice, Line


@asks_stripe
def retrieve_invoice(id: str) -> Invoice:
    """As it is now, with what became of its payment: up to three requests."""
    return invoice_of(v1().invoices.retrieve(id, {"expand": ["payments"]}))


@asks_stripe
def list_invoices(customer: str = "", status: str = "") -> list[Invoice]:
    """Of one customer, or of all; newest first, without refunds and disputes."""
    named = {"customer": customer, "status": status}
    wanted = {"limit": PAGE, **{name: value for name, value in named.items() if value}}
    found = v1().invoices.list(wanted).auto_paging_iter()
    return [invoice_without_payment(invoice) for invoice in found]


@asks_stripe
def list_lines(invoice: str) -> list[Line]:
    """All of them: one for each tier that usage reached."""
    return [
        Line(
            line.id,
            line.quantity or 0,
            line.amount,
            text(line.description),
            line.period.start,
            line.period.end,
        )
        for line in v1().invoices.line_items.list(invoice, {"limit": PAGE}).auto_paging_iter()
    ]


@asks_stripe
def finalize_invoice(id: str) -> Invoice:
    """From here on its amounts are fixed, and Stripe tries to collect it."""
    return invoice_without_payment(v1().invoices.finalize_invoice(id, {"auto_advance": True}))


@asks_stripe
def pay_invoice(id: str) -> Invoice:
    """Try to collect it now; `StripeRefused` with the code of the bank if it is declined."""
    return invoice_without_payment(v1().invoices.pay(id))


@asks_stripe
def set_auto_advance(id: str, advances: bool) -> None:
    """Whether Stripe finalises and collects it by itself. One that does not stays as it is."""
    v1().invoices.update(id, {"auto_advance": advances})


def invoice_of(invoice: Any) -> Invoice:
    intent = intent_of(invoice.payments.data if invoice.payments else [])
    if not intent or not invoice.amount_paid:
        return invoice_without_payment(invoice, intent)
    refunded = sum(
        charge.amount_refunded for charge in v1().charges.list({"payment_intent": intent}).data
    )
    disputes = v1().disputes.list({"payment_intent": intent}).data
    dispute = disputes[0].status if disputes else ""
    return invoice_without_payment(invoice, intent, refunded, dispute)


def intent_of(payments: list[Any]) -> str:
    """Of the payment that has paid, if one has. What was paid outside of Stripe has no intent."""
    with_intent = [one for one in payments if one.payment.type == "payment_intent"]
    paid_first = sorted(with_intent, key=lambda one: one.status != "paid")
    return id_of(paid_first[0].payment.payment_intent) if paid_first else ""


def invoice_without_payment(
    invoice: Any, intent: str = "", refunded: int = 0, dispute: str = ""
) -> Invoice:
    parent = invoice.parent
    details = parent.subscription_details if parent else None
    return Invoice(
        id=invoice.id,
        customer=id_of(invoice.customer),
        subscription=id_of(details.subscription) if details else "",
        number=text(invoice.number),
        status=invoice.status,
        billing_reason=text(invoice.billing_reason),
        currency=invoice.currency,
        total=invoice.total,
        amount_due=invoice.amount_due,
        amount_paid=invoice.amount_paid,
        amount_remaining=invoice.amount_remaining,
        credited=invoice.pre_payment_credit_notes_amount + invoice.post_payment_credit_notes_amount,
        refunded=refunded,
        dispute=dispute,
        attempted=invoice.attempted,
        auto_advance=invoice.auto_advance,
        created=invoice.created,
        finalized_at=invoice.status_transitions.finalized_at,
        automatically_finalizes_at=invoice.automatically_finalizes_at,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        payment_intent=intent,
        hosted_url=text(invoice.hosted_invoice_url),
        pdf_url=text(invoice.invoice_pdf),
    )
