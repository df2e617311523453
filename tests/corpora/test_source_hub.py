"""Sources of the `datasets` library: local folders, limits, and errors that say what to do."""

import datasets
import huggingface_hub
import pytest
from corpora_demo import jsonl, refusal, take, texts, write_lines
from huggingface_hub.errors import HfHubHTTPError

from configs.corpora import DatasetsCorpus, DialoguesCorpus
from workers.corpora.hub import load_rows, resolved_commit
from workers.corpora.sources import source_signature
from workers.corpora.store import iterate
from workers.problems import InputProblem


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def local_set(folder, count=3):
    folder.mkdir(parents=True)
    write_lines(folder / "train.jsonl", [{"text": f"t{i}", "good": i % 2} for i in range(count)])
    return str(folder)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_local_set_gives_the_same_corpus_from_any_folder(tmp_path, streaming):
    made = []
    for name in ("here", "there"):
        corpus = DatasetsCorpus(
            name=local_set(tmp_path / name), label_field="good", streaming=streaming
        )
        taken = take(corpus, tmp_path / "home")
        made.append((taken.corpus.id, source_signature(corpus, 0)))
    assert made[0] == made[1]
    documents = list(iterate(taken.corpus))
    assert [(d.text, d.label) for d in documents] == [("t0", 0), ("t1", 1), ("t2", 0)]
    assert str(tmp_path) not in documents[0].source


def test_a_variable_in_the_name_is_filled_in(tmp_path, monkeypatch):
    local_set(tmp_path / "sets" / "mine")
    monkeypatch.setenv("SETS", str(tmp_path / "sets"))
    assert texts(take(DatasetsCorpus(name="${SETS}/mine"), tmp_path / "home")) == ["t0", "t1", "t2"]


def test_limit_reads_no_further_than_it_says(tmp_path, monkeypatch):
    read = []

    def rows(*names, **options):
        for number in range(100):
            read.append(number)
            yield {"text": f"t{number}"}

    monkeypatch.setattr(datasets, "load_dataset", rows)
    made = take(DatasetsCorpus(name="some/set", limit=5), tmp_path / "home")
    assert made.corpus.documents == 5 and read == [0, 1, 2, 3, 4]


def test_a_missing_split_configuration_or_field_is_named(tmp_path):
    name = local_set(tmp_path / "set")
    said = refusal(DatasetsCorpus(name=name, split="tst"), tmp_path / "home")
    assert "tst" in said and "split" in said
    said = refusal(DatasetsCorpus(name=name, config_name="nope"), tmp_path / "home")
    assert "nope" in said and "configuration" in said
    said = refusal(DatasetsCorpus(name=name, text_field="tex"), tmp_path / "home")
    assert "Did you mean 'text'?" in said


def test_a_path_with_nothing_there_is_not_sought_on_the_hub(tmp_path):
    said = refusal(DatasetsCorpus(name=str(tmp_path / "none")), tmp_path / "home")
    assert "there is no such folder" in said
    with pytest.raises(InputProblem, match="no such folder"):
        source_signature(DatasetsCorpus(name="./none"), 0)


def test_a_set_that_comes_with_code_is_refused_and_the_code_not_run(tmp_path):
    folder = tmp_path / "coded"
    folder.mkdir()
    ran = tmp_path / "ran"
    (folder / "coded.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    said = refusal(DatasetsCorpus(name=str(folder)), tmp_path / "home")
    assert "corpus.name" in said and not ran.exists()


def test_a_row_that_breaks_in_the_middle_is_an_input_problem(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "train.jsonl", [{"text": "a"}] * 3)
    with (folder / "train.jsonl").open("a") as file:
        file.write("{broken\n")
    for streaming in (True, False):
        corpus = DatasetsCorpus(name=str(folder), streaming=streaming)
        assert "could not be read" in refusal(corpus, tmp_path / "home")


def transport_error():
    """The error of the hub's own HTTP library for a host that cannot be reached."""
    library = __import__(HfHubHTTPError.__bases__[0].__module__.split(".")[0])
    return library.ConnectError("Name or service not known")


def test_a_connection_that_breaks_while_streaming_is_an_input_problem(monkeypatch):
    def rows(*names, **options):
        yield {"text": "a"}
        raise transport_error()

    monkeypatch.setattr(datasets, "load_dataset", rows)
    found = load_rows("some/set", None, streaming=True)
    assert next(found) == {"text": "a"}
    with pytest.raises(InputProblem, match=r"network.*corpus\.path"):
        next(found)


def test_no_network_is_told_with_the_fix(monkeypatch):
    def unreachable(*names, **options):
        raise transport_error()

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    for corpus in (DialoguesCorpus(), DatasetsCorpus(name="some/set")):
        with pytest.raises(InputProblem, match=r"network.*corpus\.path"):
            source_signature(corpus, 0)


def test_a_pinned_commit_needs_no_network():
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert resolved_commit("some/set", commit) == commit


def test_nothing_trusts_code_from_the_hub(tmp_path, monkeypatch):
    asked = {}

    def rows(*names, **options):
        asked.update(options)
        return iter([{"text": "a"}])

    monkeypatch.setattr(datasets, "load_dataset", rows)
    take(DatasetsCorpus(name="some/set", revision="v1"), tmp_path / "home")
    assert asked == {"split": "train", "revision": "v1", "streaming": True}
