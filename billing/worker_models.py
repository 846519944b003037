"""What the worker keeps of its own work: the nightly proofs, and its last pass."""

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

CLAIM = timedelta(minutes=2)


class ProofRun(models.Model):
    """A proof of all customers, a night's or one by hand: how far it came and what it found.

    The customers up to `reached`, in the order of their ids, are counted in it. Until `until` it is
    `holder` alone who goes on; whoever was killed is followed by another then.
    """

    night = models.DateField(unique=True, null=True, help_text="empty if it was made by hand")
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    reached = models.BigIntegerField(default=0)
    customers = models.IntegerField(default=0)
    months = models.IntegerField(default=0, help_text="of a customer each")
    differing = models.IntegerField(default=0, help_text="months whose books differ")
    unanswered = models.IntegerField(default=0, help_text="customers of whom Stripe did not say")
    told_at = models.DateTimeField(null=True, help_text="when an operator was told")
    until = models.DateTimeField(db_default=Now())
    holder = models.UUIDField(default=uuid4)

    class Meta:
        verbose_name = "proof of all"
        verbose_name_plural = "proofs of all"

    def __str__(self) -> str:
        return f"night of {self.night}" if self.night else "by hand"

    @property
    def is_clean(self) -> bool:
        return not self.differing and not self.unanswered

    @staticmethod
    def take(night: date) -> "ProofRun | None":
        """That night's run, if there is something left of it to do and nobody else does it."""
        runs = ProofRun.objects
        run = runs.get_or_create(night=night)[0]
        if run.ended_at and (run.told_at or run.is_clean):
            return None
        mine = uuid4()
        runs.filter(pk=run.pk, until__lte=Now()).update(holder=mine, until=Now() + CLAIM)
        return runs.filter(holder=mine).first()

    def renew(self) -> bool:
        """Whether it is still this one's turn; if so, for a while from now."""
        return self.change(until=Now() + CLAIM)

    def add(self, is_last: bool, *, reached: int, **counts: int) -> bool:
        """Count some more customers, and end with the last; whether it was still this one's turn.

        Before that, the next step may be anybody's.
        """
        more = {name: F(name) + count for name, count in counts.items()}
        so_far = {"ended_at": Now()} if is_last else {"until": Now()}
        return self.change(reached=reached, **more, **so_far)

    def change(self, **fields: Any) -> bool:
        """Whether this is still whose turn it is; only then anything is changed."""
        mine = ProofRun.objects.filter(pk=self.pk, holder=self.holder)
        return bool(mine.update(**fields))


class WorkerPass(models.Model):
    """The last pass of any worker over what there is to do with Stripe: one row."""

    ended_at = models.DateTimeField(db_default=Now())
    unhandled_events = models.IntegerField(
        default=0, help_text="of those that Stripe could not deliver"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(name="workerpass_is_the_last_one", condition=Q(id=1)),
        ]

    def __str__(self) -> str:
        return f"{self.ended_at:%Y-%m-%d %H:%M:%S}"

    @staticmethod
    def note(**fields: Any) -> None:
        WorkerPass.objects.update_or_create(pk=1, defaults=fields)
