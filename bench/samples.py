"""What was measured, round by round, and what is said of it: medians, and medians of ratios."""

from collections import defaultdict
from statistics import median


class Samples:
    """Figures by contestant, cell and quantity, one for each round."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, contestant: str, cell: str, quantities: dict[str, float]) -> None:
        for quantity, figure in quantities.items():
            self.taken[contestant, cell, quantity].append(figure)

    def median(self, contestant: str, cell: str, quantity: str) -> float | None:
        """None where it was not measured."""
        figures = self.taken.get((contestant, cell, quantity))
        return median(figures) if figures else None

    def ratio(
        self, contestant: str, cell: str, quantity: str, to: str, cell_of_that: str
    ) -> float | None:
        """The median of the rounds' ratios, each to what was measured in the same round."""
        figures = self.taken.get((contestant, cell, quantity))
        others = self.taken.get((to, cell_of_that, quantity))
        if not figures or not others:
            return None
        return median(one / other for one, other in zip(figures, others, strict=True))
