"""Who is measured: the product, behind each door with each runtime, and what people use instead.

Each of them runs two worker processes.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import environments
from bench.bodies import BATCH, IMAGE, LARGE_BATCH, as_json, as_npy
from bench.environments import PEERS
from bench.load import Request
from bench.long_log import LARGEST
from bench.servers import START_SECONDS, Contestant, Program, Site
from model.serving import RELEASES, RUNTIMES
from tests.serving import DOORS, ROOT, Server, free_port, new_database

CHECKPOINT = RELEASES / "softmax-1" / "trained.ckpt"
EXPORT = RELEASES / "softmax-1" / "trained.tflite"

# The key that the product is called with; plan and limit must allow more calls than can be made.
CREATE_KEY = ["create_key", LARGEST, "--live", "--plan", "volume"]
RAISE_LIMIT = """
from billing.models import Account
for account in Account.objects.all():
    account.change(spend_limit_cents=10**12)
"""

GUNICORN = "gunicorn --bind 127.0.0.1:{port} --workers 2 --no-control-socket "
UVICORN = "uvicorn --host 127.0.0.1 --port {port} --workers 2 --no-access-log "

ISSUE_KEY = """
from rest_framework_api_key.models import APIKey
print(APIKey.objects.create_key(name="bench")[1])
"""


def blog(site: Site) -> Contestant:
    program = peer(site, "blog", GUNICORN + "--worker-class sync app:app", CHECKPOINT=CHECKPOINT)
    return Contestant("the blog's app", program, {"single": as_json("/", IMAGE)}, most_probable)


def fastapi(site: Site) -> Contestant:
    program = peer(site, "fastapi_litert", UVICORN + "app:app", MODEL=EXPORT)
    requests = {"single": as_json("/predictions", IMAGE)}
    return Contestant("FastAPI and LiteRT, bare", program, requests, digit)


def drf(site: Site) -> Contestant:
    database = new_database(site.database_url)
    settings = {"MODEL": EXPORT, "DATABASE_URL": database, "SECRET_KEY": "b" * 64}
    program = peer(site, "drf", GUNICORN + "config.wsgi", **settings)
    manage(program, "migrate", "--verbosity=0")
    key = manage(program, "shell", "--command", ISSUE_KEY).split()[-1]
    request = as_json("/api/predictions/", {"image": IMAGE}, Authorization=f"Api-Key {key}")
    return Contestant("Django REST framework as usual", program, {"single": request}, digit)


def peer(site: Site, name: str, command: str, **settings: object) -> Program:
    """One of bench/peers/, in the virtual environment of its own."""
    port = free_port()
    program, *arguments = command.format(port=port).split()
    return Program(
        [str(environments.programs(name) / program), *arguments],
        port,
        PEERS / name,
        {**os.environ, **{setting: str(value) for setting, value in settings.items()}},
        site.folder / f"{name}.log",
    )


def manage(program: Program, *arguments: str) -> str:
    """Run the peer's own manage.py; give what it printed."""
    python = str(Path(program.command[0]).with_name("python"))
    return subprocess.run(
        [python, "manage.py", *arguments],
        cwd=program.folder,
        env=program.environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=START_SECONDS,
    ).stdout


def most_probable(answer: Any) -> int:
    return int(answer.index(max(answer)))


def digit(answer: Any) -> int:
    return int(answer["digit"])


def product(site: Site, door: str, runtime: str) -> Contestant:
    return behind(door, migrated(site, f"{door}-{runtime}", runtime))


def migrated(site: Site, name: str, runtime: str) -> Server:
    """The product with a database and a folder of its own, and not started."""
    folder = site.folder / name
    folder.mkdir()
    server = Server(new_database(site.database_url), folder, {"MODEL_RUNTIME": runtime})
    server.manage("migrate", "--verbosity=0")
    server.manage("createcachetable", "--verbosity=0")
    return server


def behind(door: str, server: Server) -> Contestant:
    """The product as it serves through that door, called with a new key."""
    key = server.manage(*CREATE_KEY)
    server.manage("shell", "--command", RAISE_LIMIT)
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    command = [gunicorn, "--bind", f"127.0.0.1:{server.port}", *DOORS[door]]
    program = Program(command, server.port, ROOT, server.environment, server.log)
    title = f"mnistapi, {door.upper()}, {server.extra['MODEL_RUNTIME']}"
    return Contestant(title, program, calls(key), lambda answer: digit(answer["predictions"][0]))


def calls(key: str) -> dict[str, Request]:
    path, authorization = "/v1/predictions", {"Authorization": f"Bearer {key}"}
    return {
        "single": as_json(path, IMAGE, **authorization),
        "json": as_json(path, [IMAGE] * BATCH, **authorization),
        "npy": as_npy(path, BATCH, "uint8", **authorization),
        "large": as_npy(path, LARGE_BATCH, "float64", **authorization),
    }


CONTESTANTS: dict[str, Callable[[Site], Contestant]] = {
    "blog": blog,
    "fastapi": fastapi,
    "drf": drf,
    **{
        f"{door}-{runtime}": partial(product, door=door, runtime=runtime)
        for door in DOORS
        for runtime in RUNTIMES
    },
}
