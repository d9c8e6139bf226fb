#!/usr/bin/env python3
"""Asks MLflow's model registry on SQLite what bench_registry asks ours, and prints both side by side.

Run with the interpreter of an environment that has mlflow (PyPI: mlflow-skinny sqlalchemy alembic):
    python bench/peers/registry_mlflow.py [--models 1000] [--versions 100] [--bench build/release/bench/bench_registry]
The rows of versions are written straight into MLflow's tables (through its client 100,000 would take an
hour); every question and every change that is timed goes through mlflow.MlflowClient. Without --bench only
MLflow's numbers are printed. MLflow keeps no history of who moved an alias and why, checks no report and
fsyncs as SQLite does by default: the rows are what a user of each types, not the same work.
"""
import argparse
import logging
import os
import re
import sqlite3
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
logging.disable(logging.INFO)
parser = argparse.ArgumentParser()
parser.add_argument("--models", type=int, default=1000)
parser.add_argument("--versions", type=int, default=100)
parser.add_argument("--bench", default="")
parser.add_argument("--dir", default=None)
args = parser.parse_args()

import mlflow  # noqa: E402  (its start is timed by nobody)


def fill(path):
    """A registered model, its versions with tags, and an alias each, as the client would write them."""
    db = sqlite3.connect(path)
    now = int(time.time() * 1000)

    def insert(table, rows):
        known = [row[1] for row in db.execute(f"pragma table_info({table})")]
        keys = [key for key in rows[0] if key in known]
        marks = ",".join("?" * len(keys))
        db.executemany(f"insert into {table} ({','.join(keys)}) values ({marks})",
                       [[row[key] for key in keys] for row in rows])

    names = [f"model-{m:05d}" for m in range(args.models)]
    insert("registered_models", [dict(name=n, creation_time=now, last_updated_time=now, workspace="default")
                                 for n in names])
    insert("model_versions", [dict(name=n, version=v, creation_time=now, last_updated_time=now, user_id="bench",
                                   current_stage="None", source="runs:/x", run_id="x", status="READY",
                                   storage_location="/x", workspace="default")
                              for n in names for v in range(1, args.versions + 1)])
    insert("model_version_tags", [dict(name=n, version=v, key="seed", value=str(v), workspace="default")
                                  for n in names for v in range(1, args.versions + 1)])
    insert("registered_model_aliases", [dict(name=n, alias="production", version=args.versions, workspace="default")
                                        for n in names])
    db.commit()
    db.close()


def timed(count, ask):
    """Median milliseconds of `count` calls; one before them warms up."""
    ask(0)
    took = []
    for i in range(count):
        begin = time.perf_counter()
        ask(i)
        took.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(took)


def list_all(client):
    token, rows = None, 0
    while True:
        page = client.search_model_versions("", max_results=10000, page_token=token)
        rows += len(page)
        token = page.token
        if not token:
            return rows


def ask_mlflow(folder):
    path = os.path.join(folder, "mlflow.db")
    uri = f"sqlite:///{path}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_registered_models()  # makes the tables
    fill(path)
    name = lambda i: f"model-{i * 7919 % args.models:05d}"
    version = lambda i: i % args.versions + 1
    client.create_registered_model("added")
    return {
        "resolve NAME@CHANNEL": timed(200, lambda i: client.get_model_version_by_alias(name(i), "production")),
        "resolve NAME@N": timed(200, lambda i: client.get_model_version(name(i), str(version(i)))),
        "promote": timed(40, lambda i: client.set_registered_model_alias(name(i), "production",
                                                                       str(args.versions - i % 2))),
        "list of one model": timed(5, lambda i: client.search_model_versions("name='model-00007'",
                                                                            max_results=10000)),
        "list of all": timed(1, lambda i: list_all(client)),
        "find by a fact": timed(5, lambda i: client.search_model_versions("tags.seed = '7'", max_results=10000)),
        "add (the row alone)": timed(40, lambda i: client.create_model_version("added", "runs:/x", "x")),
    }


# what bench_registry calls the same; the first match counts
OURS = {
    "resolve NAME@CHANNEL": r"resolve NAME@CHANNEL +([\d.]+) ms",
    "resolve NAME@N": r"resolve NAME@N +([\d.]+) ms",
    "promote": r"promote \(fsynced\) +([\d.]+) ms",
    "list of one model": r"list of one model +([\d.]+) ms",
    "list of all": r"list of all [^\n]*\n[^\n]*\n    the same as list/1 +([\d.]+) ms",
    "find by a fact": r"find, \d+ found +([\d.]+) ms",
}

with tempfile.TemporaryDirectory(dir=args.dir) as folder:
    theirs = ask_mlflow(folder)
    said = ""
    if args.bench:
        said = subprocess.run([args.bench, str(args.models), str(args.versions), folder, "64"], check=True,
                              capture_output=True, text=True).stdout
print(f"{args.models} models, {args.versions} versions each; median milliseconds")
print(f"{'':28}{'pawl':>12}{f'mlflow {mlflow.__version__}':>18}")
for what, milliseconds in theirs.items():
    match = re.search(OURS.get(what, "(?!)"), said)
    print(f"{what:28}{match.group(1) if match else '-':>12}{milliseconds:18.3f}")
