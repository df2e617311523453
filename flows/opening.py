"""Opening a run: the record, the leases, and the rule against silent changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from configs.experiment import Experiment
from configs.fingerprint import digest_of, plain
from configs.identity import differing_fields, forks, stage_fingerprints
from configs.loading import ConfigProblem, expand_path
from configs.principles import Principles, load_principles
from configs.prompts import PromptFile, load_prompts
from db.engines import parse_url
from db.lineage.spending import spent_before
from db.models import Arm as ArmRow
from db.models import ConfigVersion, PrinciplesFile, PromptSet, Run, SkillsFile
from db.models import Experiment as ExperimentRow
from db.problems import DatabaseProblem, LeaseLost
from db.records import (
    LeaseGrant,
    add_artifact,
    ensure_arm,
    extend_experiment,
    find_experiment,
    finish_run,
    record_predictions,
    register_experiment,
    require_experiment,
    set_experiment_status,
    start_run,
)
from db.sessions import Database, open_database
from flows import provenance
from flows.checking import check_evaluations
from flows.console import Reporter
from flows.context import RunContext, entered
from flows.lease import AT_ONCE, fenced, hold_leases
from flows.leftovers import live_leases
from flows.places import storage_of, store_of
from flows.spending import Spending
from flows.storing import claim
from workers.corpora.row_files import find_files
from workers.interrupting import asked_to_stop
from workers.problems import InputProblem, WorkProblem
from workers.skills import SkillsSet, load_skills
from workers.storage import explain_full_disk, sweep_unfinished

DATABASE_VARIABLE = "PALIMPSEST_DATABASE"
PASSWORD_VARIABLE = "PALIMPSEST_DATABASE_PASSWORD_FILE"
HOME_VARIABLE = "PALIMPSEST_HOME"


def home_of(experiment: Experiment) -> Path:
    """The folder for corpora, checkpoints, reports and the embedded database."""
    given = os.environ.get(HOME_VARIABLE) or experiment.placement.home
    return expand_path(given, "placement.home").resolve()


def database_url(experiment: Experiment | None, home: Path) -> str:
    """URL of the record: the environment's, else the config's, else SQLite in `home`."""
    configured = experiment.placement.database if experiment else None
    url = os.environ.get(DATABASE_VARIABLE) or configured or f"sqlite:///{home}/palimpsest.db"
    return _with_password(url)


def _with_password(url: str) -> str:
    """A server's URL that has no password, with the one of the file that the environment names.

    Raises:
        InputProblem: there is no such file.
    """
    file = os.environ.get(PASSWORD_VARIABLE)
    parsed = parse_url(url)
    if not file or parsed.password or parsed.get_backend_name() == "sqlite":
        return url
    try:
        password = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputProblem(
            f"{PASSWORD_VARIABLE}: {file}: {error.strerror}. It names the file that holds the "
            "record's password; `palimpsest init --cluster` writes one for a cluster."
        ) from error
    return parsed.set(password=password).render_as_string(hide_password=False)


def open_record(experiment: Experiment | None, home: Path) -> Database:
    """Open the record of an experiment's home, making the folder for an embedded one."""
    url = database_url(experiment, home)
    if url.startswith("sqlite:///"):
        with explain_full_disk(home):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return open_database(url)


@contextmanager
def open_run(experiment: Experiment, until: int) -> Iterator[RunContext]:
    """Hold the experiment for one run to generation `until`, and record how the run ends.

    Raises:
        ConfigProblem: the experiment exists with another config.
        LeaseHeld: another process writes one of its arms now.
        InputProblem: the store cannot be used, or an evaluation, or a metric that is named is not
            measured.
        WorkProblem: the store cannot be reached.
    """
    home = home_of(experiment)
    store = store_of(experiment, home)
    store.probe()
    principles = load_principles(experiment.principles)
    prompt_file = load_prompts(experiment.model.prompts)
    _check_training(experiment, prompt_file)
    skills = load_skills(experiment.skills)
    harness, said = check_evaluations(experiment)
    database = open_record(experiment, home)
    try:
        config = resolved_config(experiment)
        # Registered and extended together with the leases: who is refused them changes nothing.
        with hold_leases(database, partial(_registered_arms, experiment, config)) as grant:
            run = _start(database, grant, experiment.name, config)
            _note_texts(database, run, principles, prompt_file, skills)
            with database.readers() as session:
                claim(session, store)
                row = require_experiment(session, experiment.name)
                before = spent_before(session, row, run)
            context = RunContext(
                experiment=experiment,
                home=home,
                database=database,
                run=run,
                grant=grant,
                principles=principles,
                prompt_file=prompt_file,
                skills=skills,
                reporter=Reporter(),
                until=until,
                store=store,
                harness=harness,
                spending=Spending(experiment.budget, before),
            )
            for each in said:
                context.say(each)
            _sweep(context)
            _write_predictions_down(context)
            with _outcome(context), entered(context):
                yield context
    finally:
        database.dispose()


def _check_training(experiment: Experiment, prompt_file: PromptFile) -> None:
    """Check that what training and persistence name is there, before anything is recorded.

    Raises:
        ConfigProblem: the prompt file has no such frame.
        InputProblem: there is no file of unrelated texts.
    """
    prompt_file.frame(experiment.training.framing)
    persistence = experiment.evaluation.persistence
    if persistence is not None and persistence.path is not None:
        find_files(persistence.path, "evaluation.persistence.path")


def _write_predictions_down(context: RunContext) -> None:
    """Record what is expected, before any model is asked."""
    settings = context.experiment
    if not settings.predictions:
        return
    with context.write() as session:
        row = require_experiment(session, settings.name)
        record_predictions(session, row, settings.predictions, run=context.run)


def _sweep(context: RunContext) -> None:
    """Remove what killed runs left half written, and nothing of a run that goes on beside us."""
    with context.read() as session:
        since = min(lease.acquired_at for lease in live_leases(session)).timestamp()
    if swept := sweep_unfinished(context.home, since):
        context.reporter.step(f"removed {swept} half-written files of an earlier run")


def record_exists(experiment: Experiment | None, home: Path) -> bool:
    """Whether there may be a record: on a server always, embedded when its file is there."""
    url = database_url(experiment, home)
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


def resolved_config(experiment: Experiment) -> dict[str, Any]:
    """The resolved config as the record holds it, with the digests of the texts that it names.

    Raises:
        InputProblem: it holds credentials, or a text cannot be used.
    """
    storage_of(experiment)
    skills = load_skills(experiment.skills)
    config: dict[str, Any] = plain(experiment)
    # A password in the URL is placement and a secret: neither belongs on record.
    config["placement"] = {**config["placement"], "database": None}
    config["digests"] = {
        "principles": load_principles(experiment.principles).digest,
        "prompts": load_prompts(experiment.model.prompts).digest,
        "skills": skills.digest if skills else None,
    }
    # Where every seed starts from the one configured model, they are no replicates of generation 0.
    given = experiment.training.generation_0 == "given"
    config[SHARED] = given and not experiment.skills.post_train_base
    return config


SHARED = "seeds_share_generation_0"
# Keys of a recorded config that are not fields of an experiment.
RECORD_ONLY = ("digests", SHARED)


def register(session: Session, experiment: Experiment, config: dict[str, Any]) -> ExperimentRow:
    """Record a new experiment, or extend the one of that name.

    Raises:
        ConfigProblem: the config differs in more than an extension may.
    """
    fingerprints = stage_fingerprints(experiment)
    found = find_experiment(session, experiment.name)
    if found is None:
        return register_experiment(session, experiment.name, config, fingerprints)
    refuse_changes(experiment.name, found.config, config)
    return extend_experiment(session, found, config, fingerprints)


def refuse_changes(name: str, recorded: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse a config that would change what an experiment is.

    Raises:
        ConfigProblem: names every differing field with both values.
    """
    changed = forks(differing_fields(*map(_decided, (recorded, given))))
    if not changed:
        return
    lines = [f"  {field}: recorded {old!r}, given {new!r}" for field, (old, new) in changed.items()]
    raise ConfigProblem(
        f"experiment {name!r} is on record with another config, and an experiment is never "
        "silently changed. It differs in:\n" + "\n".join(lines) + "\nPut these back, or keep both: "
        f"`palimpsest fork {name} NEW-NAME --set ...` makes a new experiment that reuses whatever "
        "stages are the same."
    )


def _decided(config: dict[str, Any]) -> dict[str, Any]:
    """A recorded config without what only follows from its other fields."""
    return {name: value for name, value in config.items() if name != SHARED}


def _registered_arms(
    experiment: Experiment, config: dict[str, Any], session: Session
) -> list[ArmRow]:
    """Every arm that the run will write, made if need be."""
    row = register(session, experiment, config)
    return [
        ensure_arm(session, row, arm.value, seed)
        for seed in experiment.seeds
        for arm in experiment.arms
    ]


def _note_texts(
    database: Database,
    run: Run,
    principles: Principles,
    prompt_file: PromptFile,
    skills: SkillsSet | None,
) -> None:
    """Record the texts that a run works by, so that edges can lead to them."""
    with database.sessions.begin() as session:
        add_artifact(session, PrinciplesFile, principles.digest, content=plain(principles), run=run)
        add_artifact(session, PromptSet, prompt_file.digest, content=plain(prompt_file), run=run)
        if skills is not None:
            count = {"exemplars": len(skills.exemplars)}
            add_artifact(session, SkillsFile, skills.digest, content=None, run=run, meta=count)


def _start(database: Database, grant: LeaseGrant, name: str, config: dict[str, Any]) -> Run:
    commit, dirty = provenance.commit()
    with fenced(database, grant, AT_ONCE) as session:
        row = require_experiment(session, name)
        set_experiment_status(session, row, "running")
        return start_run(
            session,
            command=provenance.command_line(),
            commit=commit,
            dirty=dirty,
            versions=provenance.versions(),
            host_kind=provenance.host_kind(),
            experiment=row,
            config=add_artifact(session, ConfigVersion, digest_of(config), content=config),
        )


@contextmanager
def _outcome(context: RunContext) -> Iterator[None]:
    """Record how the run ended, whichever way."""
    try:
        yield
    except BaseException as error:
        # Not to hide why it ended: where the record cannot be told, the run has no end there.
        with suppress(DatabaseProblem):
            _end(context, *_end_of(error))
        raise
    _end(context, "finished", "finished" if context.goes_all_the_way else "pending")


def _end_of(error: BaseException) -> tuple[str, str]:
    """What became of the run and of its experiment."""
    # Of a run that is being cancelled Prefect refuses whatever is begun next, by its own errors.
    if isinstance(error, KeyboardInterrupt) or asked_to_stop():
        return "interrupted", "stopped"
    # A deployment's time limit is no failure: the next run goes on.
    known = isinstance(error, WorkProblem | TimeoutError)
    return ("stopped", "stopped") if known else ("failed", "failed")


def _end(context: RunContext, outcome: str, status: str) -> None:
    try:
        with context.write() as session:
            finish_run(session, context.run, outcome)
            experiment = require_experiment(session, context.experiment.name)
            set_experiment_status(session, experiment, status)
    except LeaseLost:
        # The experiment is another's by now. The run's own row is still nobody else's.
        with context.database.sessions.begin() as session:
            finish_run(session, context.run, outcome)
        raise
