"""What `/metrics` says, as a scraper reads it."""

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Of the sample with these labels; one that was never counted is 0."""
    return samples.get((f"mnistapi_{name}", frozenset(labels.items())), 0)
