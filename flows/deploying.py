"""Registering deployments and automations with a Prefect server; doing it again changes nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import yaml
from prefect import get_client
from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from flows.deployments import ENDED
from workers.problems import InputProblem, WorkProblem

TAG = "palimpsest"
NOTIFY = "palimpsest: notify"
WEBHOOK_BLOCK = "palimpsest-webhook"
# Three heartbeats, which the compose file asks for every 30 s.
SILENT_FOR = timedelta(seconds=100)
STUCK_FOR = timedelta(seconds=180)
ENDS = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled", "Overlapping")


def deploy(file: Path, webhook: str | None) -> list[str]:
    """Make the work pool, the deployments of a file, and the automations; return what there is.

    Args:
        file: a `prefect.yaml`.
        webhook: URL that is told of how runs end; none for no notifications.

    Raises:
        InputProblem: the file is missing, or the server's address or password is wrong.
        WorkProblem: the server does not answer, or refuses a deployment.
    """
    if not file.is_file():
        raise InputProblem(f"{file}: no such file; name the prefect.yaml of a checkout")
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
    pools = sorted({each["work_pool"]["name"] for each in described})
    asyncio.run(_make_pools(pools))
    _deploy_all(file)
    made = [f"deployment {each['name']}" for each in described]
    return [*made, *(f"automation {each}" for each in asyncio.run(_automate(webhook)))]


async def _make_pools(names: Sequence[str]) -> None:
    url = PREFECT_API_URL.value()
    if not url:
        raise InputProblem(
            "PREFECT_API_URL is not set: deployments need a Prefect server that stays. Start one "
            "(`prefect server start`, or `make cluster-up`) and set it to http://HOST:4200/api."
        )
    try:
        async with get_client() as client:
            for name in names:
                await _make_pool(client, name)
    except PrefectHTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise InputProblem(
                f"{url}: the Prefect server refuses PREFECT_API_AUTH_STRING. Set it to the user "
                "and password of the server; in a cluster it is the secret prefect_auth."
            ) from None
        raise
    except (httpx.TransportError, RuntimeError) as error:
        raise WorkProblem(
            f"{url}: no Prefect server answers ({type(error).__name__}). Start it, or correct "
            "PREFECT_API_URL, and run the same command again."
        ) from error


async def _make_pool(client: Any, name: str) -> None:
    try:
        await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    except ObjectAlreadyExists:
        return


def _deploy_all(file: Path) -> None:
    """Let Prefect's own command read the file: it is the one reader of that format."""
    words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*words, "--prefect-file", str(file)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WorkProblem(f"{file}: prefect deploy failed:\n{done.stdout}{done.stderr}".rstrip())


async def _automate(webhook: str | None) -> list[str]:
    """Make or renew the automations."""
    wanted = [_lost_runs(), _stuck_runs(), _crashed_runs()]
    if webhook:
        wanted.append(_notification(await _webhook_block(webhook)))
    else:
        await _forget(NOTIFY)
    for automation in wanted:
        await _renew(automation)
    return [automation.name for automation in wanted]


async def _forget(name: str) -> None:
    try:
        await (await Automation.aread(name=name)).adelete()
    except ValueError:
        return  # There is none.


async def _renew(automation: Automation) -> None:
    try:
        found = await Automation.aread(name=automation.name)
    except ValueError:
        await automation.acreate()
        return
    if _content(found) == _content(automation):
        # The server forgets at an update which runs it was watching.
        return
    found.trigger, found.actions = automation.trigger, automation.actions
    found.description, found.tags = automation.description, automation.tags
    await found.aupdate()


def _content(automation: Automation) -> tuple[Any, ...]:
    trigger = automation.trigger.model_dump(exclude={"id"}, exclude_none=True)
    actions = [action.model_dump(exclude_none=True) for action in automation.actions]
    return trigger, actions, automation.description, automation.tags


def _of_ours() -> ResourceSpecification:
    return ResourceSpecification(
        {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
    )


def _runs() -> ResourceSpecification:
    return ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def _again(why: str) -> ChangeFlowRunState:
    """The same run, started again: the record decides what is left to do."""
    return ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message=why, force=True
    )


def _lost_runs() -> Automation:
    """A run whose process is gone says nothing any more."""
    return Automation(
        name="palimpsest: start lost runs again",
        description=f"No heartbeat for {SILENT_FOR.seconds} s: the process of the run is gone.",
        tags=[TAG],
        trigger=_silence("prefect.flow-run.heartbeat", SILENT_FOR),
        actions=[_again("its process was lost; started again, it goes on where it was")],
    )


def _stuck_runs() -> Automation:
    """A run that a worker took, and the worker is gone before the run began."""
    return Automation(
        name="palimpsest: start stuck runs again",
        description=f"Taken by a worker, and not begun after {STUCK_FOR.seconds} s.",
        tags=[TAG],
        trigger=_silence("prefect.flow-run.Pending", STUCK_FOR),
        actions=[_again("the worker that took it is gone; started again")],
    )


def _silence(after: str, within: timedelta) -> EventTrigger:
    """A run of ours that gives neither a heartbeat nor an end after an event."""
    ends = {ENDED, *(f"prefect.flow-run.{end}" for end in ENDS)}
    return EventTrigger(
        posture=Posture.Proactive,
        after={after},
        expect={"prefect.flow-run.heartbeat", *ends},
        match=_runs(),
        match_related=_of_ours(),
        for_each={"prefect.resource.id"},
        threshold=1,
        within=within,
    )


def _crashed_runs() -> Automation:
    """A run whose worker saw it die."""
    return Automation(
        name="palimpsest: start crashed runs again",
        description="The worker saw the process of the run end without a result.",
        tags=[TAG],
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Crashed"},
            match=_runs(),
            match_related=_of_ours(),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=0),
        ),
        actions=[_again("it crashed; started again, it goes on where it was")],
    )


async def _webhook_block(url: str) -> UUID:
    """Where a webhook's address is kept: the server treats it as a secret."""
    block = CustomWebhookNotificationBlock(
        name="Palimpsest",
        url=url,
        method="POST",
        headers=None,
        cookies=None,
        json_data={"text": "{{subject}}: {{body}}"},
    )
    return await block.asave(WEBHOOK_BLOCK, overwrite=True)


def _notification(block: UUID) -> Automation:
    """Tell a webhook how a run ended, as JSON with a `text` such as chat programs read."""
    return Automation(
        name=NOTIFY,
        description="How each deployment's run ended.",
        tags=[TAG],
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={f"prefect.flow-run.{end}" for end in ENDS},
            match=_runs(),
            match_related=_of_ours(),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=0),
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="Palimpsest: {{ deployment.name }} {{ flow_run.state.name }}",
                body="{{ flow_run.name }}: {{ flow_run.state.message }}",
            )
        ],
    )
