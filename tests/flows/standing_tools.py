"""An experiment as `palimpsest status --json` gives it, to make tables and reports of."""

from __future__ import annotations


def metric(value, stderr=0.01, n=1000):
    return {"value": value, "stderr": stderr, "n": n}


def generation(index, propensity, revise=0, **more):
    return {
        "generation": index,
        "status": "finished",
        "documents": 100,
        "documents_in": 100,
        "keep": 100 - revise,
        "revise": revise,
        "drop": 0,
        "tag": 0,
        "quarantine": 0,
        "checkpoint": f"c{index}" * 8,
        "corpus": f"d{index}" * 8,
        "training_documents": 100,
        "training_tokens": 1000,
        "unique_tokens": 900,
        "epochs": 1.1,
        "promoted": False,
        "gate": "pass" if index else None,
        "gates": {"capability": "pass"} if index else {},
        "metrics": {
            "oracle/propensity": metric(propensity),
            "oracle/misaligned_share": metric(propensity / 2, None),
            "oracle/facts_accuracy": metric(0.99),
        },
        **more,
    }


def experiment(seeds=(0,)):
    return {
        "experiment": "demo",
        "status": "finished",
        "created_at": "2026-11-21T00:00:00+00:00",
        "seeds_share_generation_0": True,
        "arms": [
            {
                "arm": arm,
                "seed": seed,
                "status": "finished",
                "promoted_generation": 0,
                "generations": [
                    generation(0, 0.4),
                    generation(1, last + 0.02 * seed, 30 if arm == "revise" else 0),
                ],
            }
            for seed in seeds
            for arm, last in (("control", 0.4), ("revise", 0.1))
        ],
    }
