"""The lines and the sums of an invoice: computed anew as long as it is a draft."""

from decimal import Decimal

from sandbox.stripe import tiers, usage
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

SIGNS = {"usd": "$", "eur": "€", "gbp": "£"}
# Less than this is not charged but carried over to the next invoice.
LEAST_CHARGE = {"usd": 50, "eur": 50, "gbp": 30}


def refresh(world: World, invoice: Json) -> None:
    """Let a draft say what would be billed if it were finalised now. What is final stays."""
    if invoice["status"] != "draft":
        return
    rows = [line for span in invoice["_spans"] for line in lines_of(world, invoice, span)]
    for number, line in enumerate(rows):
        line["id"] = f"il_{invoice['id'][3:]}{number}"
    invoice["lines"]["data"] = rows
    sum_up(world, invoice, sum(line["amount"] for line in rows))


def sum_up(world: World, invoice: Json, total: int) -> None:
    balance = (world.store.get("customer", invoice["customer"]) or {}).get("balance", 0)
    owed = total + balance
    due = owed if owed >= LEAST_CHARGE[invoice["currency"]] else 0
    invoice |= dict.fromkeys(("subtotal", "subtotal_excluding_tax"), total)
    invoice |= dict.fromkeys(("total", "total_excluding_tax"), total)
    invoice |= dict.fromkeys(("amount_due", "amount_remaining"), due)
    invoice |= {"starting_balance": balance, "_carried": owed - due}


def lines_of(world: World, invoice: Json, span: Json) -> list[Json]:
    """One line for each tier that the usage of the span reaches."""
    price = world.fetch("price", span["price"])
    product = world.fetch("product", price["product"])
    meter = world.fetch("billing.meter", price["recurring"]["meter"])
    quantity = usage.total(world, meter, invoice["customer"], span["start"], span["end"])
    return [
        line(invoice, span, price, part, describe(price, product, part))
        for part in tiers.graduated(rates(price), max(quantity, 0))
    ]


def rates(price: Json) -> list[tiers.Tier]:
    """What a price charges, as tiers; a price without them is one tier that has no end."""
    rows = price["_tiers"] or [{"up_to": None, "unit_amount_decimal": price["unit_amount_decimal"]}]
    return [tiers.Tier(row["up_to"], Decimal(row["unit_amount_decimal"])) for row in rows]


def describe(price: Json, product: Json, part: tiers.Part) -> str:
    tier = f"Tier {part.tier} at " if price["_tiers"] else "at "
    money = SIGNS[price["currency"]] + written(part.unit / 100)
    return f"{part.quantity} × {product['name']} ({tier}{money} / month)"


def written(money: Decimal) -> str:
    """With two places, or with as many as it takes."""
    return f"{money:.2f}" if money == round(money, 2) else f"{money.normalize():f}"


def line(invoice: Json, span: Json, price: Json, part: tiers.Part, description: str) -> Json:
    return {
        "object": "line_item",
        "amount": part.amount,
        "currency": price["currency"],
        "description": description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice["id"],
        "livemode": False,
        "metadata": {},
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": invoice["parent"]["subscription_details"]["subscription"],
                "subscription_item": span["item"],
            },
        },
        "period": {"start": span["start"], "end": span["end"]},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": f"{part.unit.normalize():f}",
        },
        "quantity": part.quantity,
        "quantity_decimal": str(part.quantity),
        "subtotal": part.amount,
        "taxes": [],
    }
