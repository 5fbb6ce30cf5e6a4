"""Which workers there are: what each is called, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ebtop.demo import burning, chatting, ordering, spawning, struggling


class Job(NamedTuple):
    """One worker."""

    name: str
    """At most 15 characters, as the kernel keeps."""
    title: str
    """Its command line."""
    work: Callable[[], None]
    """Does not return."""


def jobs(image_program: int | None) -> list[Job]:
    """Those who serve come before those who call. `image_program` is the compiled service, None without one."""
    return [
        Job("api-server", "api-server --listen 10.20.0.10:8080", chatting.serve),
        Job("postgres", "postgres: orders 10.20.0.20:5432", struggling.serve_database),
        Job("ldap", "ldap --listen 10.20.0.30:636", struggling.serve_identity),
        Job("img-service", "img-service --listen 10.20.0.70:8081", partial(burning.serve_images, image_program)),
        Job("web-worker", "web-worker --api 10.20.0.10:8080", chatting.call),
        Job("orders", "orders --db 10.20.0.20:5432", ordering.serve),
        Job("metrics", "metrics --scrape 10.20.0.0/24", struggling.scrape),
        Job("report", "report --daily", burning.render_reports),
        Job("log-rotate", "log-rotate", burning.rotate_logs),
        Job("cron", "cron -f", spawning.run_jobs),
    ]
