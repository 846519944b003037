"""The nightly proof: once a night, some worker holds every customer's books against each other.

Each pass of a worker takes the run one step further, and the run's row says how far it came. A
worker that is killed costs a step, which the next one takes again.
"""

import threading
from dataclasses import dataclass
from datetime import date, timedelta
from smtplib import SMTPException

import structlog
from django.core.mail import mail_admins
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Customer
from billing import meter
from billing.meter_models import Proof
from billing.proving import months, prove
from billing.stripe_gateway import StripeFault, StripeUnavailable
from billing.worker_models import ProofRun

# In UTC. A month's invoice is final by then, and there is time to look before people call.
BEGINS = timedelta(hours=3)
STEP = 200  # customers in a pass, which has other things to do as well
# As long as a run is no older, a step that Stripe is not there for is taken again.
PATIENCE = timedelta(hours=6)
NAMED_AT_MOST = 100

log = structlog.get_logger()


@dataclass(frozen=True)
class Found:
    """What came of proving one customer."""

    months: int
    differing: int
    fault: StripeFault | None = None


def go_on(stopped: threading.Event) -> None:
    """Take the run of this night a step further, if that is due and nobody else does it.

    Told to stop, it leaves the step to another. Raises StripeUnavailable.
    """
    run = ProofRun.take((timezone.now() - BEGINS).date())
    if run and (run.ended_at or prove_some(run, stopped)):
        tell(run)


def prove_some(run: ProofRun, stopped: threading.Event) -> bool:
    """Prove the next customers of the run; whether they were the last ones."""
    customers = list(Customer.objects.filter(pk__gt=run.reached).order_by("pk")[:STEP])
    found: list[Found] = []

    def prove_next(customer: Customer) -> None:
        if run.renew():  # a step may take longer than a claim holds
            found.append(proved(customer))

    meter.in_parallel(prove_next, customers, stopped)
    faults = [one.fault for one in found if one.fault]
    absent = next((fault for fault in faults if isinstance(fault, StripeUnavailable)), None)
    is_early = timezone.now() < run.began_at + PATIENCE
    if len(found) < len(customers) or (absent and is_early):
        run.change(until=Now())
        if absent:
            raise absent
        return False
    is_last = len(customers) < STEP
    is_counted = run.add(
        is_last,
        reached=customers[-1].pk if customers else run.reached,
        customers=len(customers),
        months=sum(one.months for one in found),
        differing=sum(one.differing for one in found),
        unanswered=len(faults),
    )
    return is_last and is_counted


def proved(customer: Customer) -> Found:
    proofs: list[Proof] = []
    fault = None
    try:
        for proof in prove(customer, recent_months(customer)):
            proofs.append(proof)
    except StripeFault as error:
        log.error("proof_failed", customer=customer.pk, error=str(error))
        fault = error
    return Found(len(proofs), sum(bool(proof.differences) for proof in proofs), fault)


def recent_months(customer: Customer) -> list[date]:
    """The running month and the one before, and older ones that were not yet proved to agree."""
    known = dict(customer.proof_set.values_list("period", "differences"))
    today = timezone.now().date()
    last_month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    return [one for one in months(customer) if one >= last_month or known.get(one) != ""]


def tell(run: ProofRun) -> None:
    """Tell an operator of what differs: once a night, and again later if the mail fails."""
    run.refresh_from_db()
    log.info("books_proved", months=run.months, differing=run.differing, unanswered=run.unanswered)
    if run.is_clean:
        return
    try:
        mail_admins("The books differ", "\n".join(differences(run)))
    except (SMTPException, OSError) as error:
        log.error("operator_not_told", proof=str(run), error=str(error))
        return
    run.change(told_at=Now())


def differences(run: ProofRun) -> list[str]:
    """What the run found, in words: as many as one reads."""
    found = Proof.objects.exclude(differences="").filter(proved_at__gte=run.began_at)
    proofs = found.select_related("customer__user").order_by("pk")
    lines = [f"{one}: {text}" for one in proofs for text in one.differences.splitlines()]
    more = len(lines) - NAMED_AT_MOST
    told = lines[:NAMED_AT_MOST] + ([f"and {more} more: the admin has them."] if more > 0 else [])
    if run.unanswered:
        told += [f"Stripe does not say of {run.unanswered} customers: the log names them."]
    return told
