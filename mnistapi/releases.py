"""Keeps a web process at the releases that serving.json names, without a restart."""

import threading

import structlog
from django.conf import settings

from model import last_good, serving, serving_file
from predictions import metrics

LOOK_SECONDS = 1.0

log = structlog.get_logger()


class Watch:
    """Loads what serving.json names, whenever it changes.

    `failed` is the name of the release that could not be loaded, or that of the file if that could
    not be read; "" while all is as it says.
    """

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.wanted = self.failed = ""
        self.seen = serving_file.version(serving.RELEASES)

    def begin(self) -> None:
        """Load behind the fork, and go on looking.

        Raises what `serving.follow` and `serving_file.read` raise, unless another worker of this
        server has had a release that still answers: it answers here, too.
        """
        try:
            self.follow()
        except Exception as error:
            if not last_good.recall():
                raise
            serving.load(last_good.recall(), self.runtime)
            self.note_failure(error)
        metrics.serves(serving.current().name, self.runtime, fails=bool(self.failed))
        threading.Thread(target=self.go_on_looking, name="releases", daemon=True).start()

    def go_on_looking(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("look_failed")

    def look(self) -> None:
        """If the file has changed, load what it names; where that fails, the old one goes on."""
        version = serving_file.version(serving.RELEASES)
        if version == self.seen:
            return
        self.seen = version
        before = serving.current().name
        try:
            self.follow()
        except Exception as error:
            self.note_failure(error)
        else:
            log.info("release_changed", before=before, current=serving.current().name)
        metrics.count_change(is_failed=bool(self.failed))
        metrics.serves(serving.current().name, self.runtime, fails=bool(self.failed))

    def follow(self) -> None:
        self.wanted = serving_file.FILE_NAME
        choice = serving_file.read(serving.RELEASES)
        self.wanted = choice.current
        serving.follow(choice, self.runtime)
        self.failed = ""
        last_good.remember(choice.current)
        say_which_are_unusable()

    def note_failure(self, error: Exception) -> None:
        self.failed = self.wanted
        current = serving.current().name
        log.error("release_failed", release=self.failed, current=current, error=str(error))


_watch: Watch | None = None


def begin() -> None:
    """Load the release that MODEL_RELEASE pins, or follow serving.json; once, behind the fork."""
    global _watch
    if settings.MODEL_RELEASE:
        serving.load(settings.MODEL_RELEASE, settings.MODEL_RUNTIME)
        metrics.serves(serving.current().name, settings.MODEL_RUNTIME)
        say_which_are_unusable()
    else:
        _watch = Watch(settings.MODEL_RUNTIME)
        _watch.begin()


def failed() -> str:
    """What should answer and cannot be loaded, as `Watch.failed` has it."""
    return _watch.failed if _watch else ""


def say_which_are_unusable() -> None:
    for release, error in serving.loaded().unusable.items():
        log.warning("release_unusable", release=release, error=error)
