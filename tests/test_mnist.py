"""The main job on real input: the whole test set of MNIST, through the running server."""

import numpy as np

from model import card, data, serving
from tests.serving import Server

BATCH = 100


def test_the_whole_test_set_over_http_is_as_accurate_as_its_card_says_and_fully_counted(
    server: Server,
) -> None:
    key = server.manage("create_key", "mnist@example.com")
    digits = data.load().test
    answers = []
    for start in range(0, len(digits.images), BATCH):
        answer = server.post("/v1/predictions", digits.images[start : start + BATCH].tolist(), key)
        assert answer.status == 200, answer.raw
        answers += [prediction["digit"] for prediction in answer.body["predictions"]]

    correct = int((np.array(answers) == digits.labels).sum())
    assert correct == card.read(serving.RELEASES / "softmax-1")["accuracy"]["right"]
    assert correct > 9_200
    assert answer.body["usage"]["period_units"] == len(digits.images) == 10_000

    of_customer = (
        "customer_id = (SELECT c.id FROM accounts_customer c JOIN accounts_user u "
        "ON u.id = c.user_id WHERE u.email = 'mnist@example.com')"
    )
    for table in ("billing_usagehour", "predictions_call"):
        assert server.rows(f"SELECT sum(units) FROM {table} WHERE {of_customer}") == [(10_000,)]
    assert server.rows(f"SELECT test_units FROM billing_account WHERE {of_customer}") == [(10_000,)]


def test_dark_ink_on_light_paper_is_recognised_as_well(server: Server, server_key: str) -> None:
    digits = data.load().test
    images = digits.images[:BATCH]
    forms = [images, 255 - images, images / 255, 1 - images / 255]
    answers = [server.post("/v1/predictions", form.tolist(), server_key).body for form in forms]
    seen = [[p["digit"] for p in answer["predictions"]] for answer in answers]
    assert seen[0] == seen[1] == seen[2] == seen[3]
