"""Rules of the formats that pawl writes, restated: for every object the members that the standard
knows, their types, which are required, which words are allowed. Anything else is a mistake.

Sources: in-toto/attestation spec/v1 (statement, resource descriptor) and spec/predicates/test-result;
slsa.dev/spec/v1.0/provenance; CycloneDX 1.6 (ECMA-424), parts that describe models;
ossf/model-signing-spec v1.0; sigstore bundle v0.3; opencontainers/image-spec (manifest, index);
huggingface/hub-docs modelcard.md.
"""
import base64
import json
import os
import re
import sys

HEX = r"[0-9a-f]{64}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Obj:
    """An object: required and optional members; `more` allows any further ones."""

    def __init__(self, required=None, optional=None, more=False):
        self.required, self.optional, self.more = required or {}, optional or {}, more


def check(value, rule, at):
    if isinstance(rule, Obj):
        assert isinstance(value, dict), f"{at}: no object"
        for key in rule.required:
            assert key in value, f"{at}: lacks {key}"
        known = {**rule.required, **rule.optional}
        for key, member in value.items():
            assert key in known or rule.more, f"{at}: unknown member {key}"
            if key in known:
                check(member, known[key], f"{at}.{key}")
    elif isinstance(rule, list):
        assert isinstance(value, list), f"{at}: no list"
        for i, item in enumerate(value):
            check(item, rule[0], f"{at}[{i}]")
    elif isinstance(rule, set):
        assert value in rule, f"{at}: {value!r} is none of {rule}"
    elif isinstance(rule, str):
        assert isinstance(value, str) and re.fullmatch(rule, value, re.S), f"{at}: {value!r}"
    else:
        assert isinstance(value, rule) and not (rule is int and isinstance(value, bool)), at


TEXT = ".+"
DIGESTS = Obj(optional={"sha256": HEX, "gitCommit": r"[0-9a-f]{7,64}"})
RESOURCE = Obj({"digest": DIGESTS}, {"name": TEXT, "uri": TEXT, "mediaType": TEXT,
                                     "downloadLocation": TEXT, "content": TEXT,
                                     "annotations": Obj(more=True)})


def statement(kind, predicate):
    return Obj({"_type": {"https://in-toto.io/Statement/v1"}, "subject": [RESOURCE],
                "predicateType": {kind}, "predicate": predicate})


PROVENANCE = statement("https://slsa.dev/provenance/v1", Obj({
    "buildDefinition": Obj({"buildType": r"[a-z]+:.+", "externalParameters": Obj(more=True)},
                           {"internalParameters": Obj(more=True),
                            "resolvedDependencies": [RESOURCE]}),
    "runDetails": Obj({"builder": Obj({"id": r"[a-z]+:.+"}, {"version": Obj(more=True),
                                                           "builderDependencies": [RESOURCE]})},
                      {"metadata": Obj(optional={"invocationId": TEXT, "startedOn": TIME,
                                                 "finishedOn": TIME}),
                       "byproducts": [RESOURCE]}),
}))
TEST_RESULT = statement("https://in-toto.io/attestation/test-result/v0.1", Obj(
    {"result": {"PASSED", "WARNED", "FAILED"}, "configuration": [RESOURCE]},
    {"url": TEXT, "passedTests": [TEXT], "warnedTests": [TEXT], "failedTests": [TEXT]}))
SIGNATURE = statement("https://model_signing/signature/v1.0", Obj({
    "resources": [Obj({"name": TEXT, "algorithm": {"sha256"}, "digest": HEX})],
    "serialization": Obj({"method": {"files"}, "hash_type": {"sha256"}, "allow_symlinks": bool,
                          "ignore_paths": [TEXT]})}))
ENVELOPE = Obj({"payload": TEXT, "payloadType": {"application/vnd.in-toto+json"},
                "signatures": [Obj({"sig": TEXT}, {"keyid": ".*"})]})
SIGSTORE = Obj({"mediaType": {"application/vnd.dev.sigstore.bundle.v0.3+json"},
                "verificationMaterial": Obj({"publicKey": Obj({"hint": HEX}),
                                             "tlogEntries": [dict]}),
                "dsseEnvelope": ENVELOPE})

HASH = Obj({"alg": {"SHA-256"}, "content": HEX})
PROPERTY = Obj({"name": TEXT}, {"value": ".*"})
MODEL_CARD = Obj(optional={
    "bom-ref": TEXT,
    "modelParameters": Obj(optional={
        "approach": Obj(optional={"type": {"supervised", "unsupervised", "reinforcement-learning",
                                           "semi-supervised", "self-supervised"}}),
        "task": TEXT, "architectureFamily": TEXT, "modelArchitecture": TEXT,
        "datasets": [Obj({"ref": TEXT})],
        "inputs": [Obj(optional={"format": TEXT})], "outputs": [Obj(optional={"format": TEXT})]}),
    "quantitativeAnalysis": Obj(optional={
        "performanceMetrics": [Obj(optional={
            "type": TEXT, "value": TEXT, "slice": TEXT,
            "confidenceInterval": Obj(optional={"lowerBound": TEXT, "upperBound": TEXT})})],
        "graphics": Obj(more=True)}),
    "considerations": Obj(optional={
        "users": [TEXT], "useCases": [TEXT], "technicalLimitations": [TEXT],
        "performanceTradeoffs": [TEXT],
        "ethicalConsiderations": [Obj(optional={"name": TEXT, "mitigationStrategy": TEXT})],
        "fairnessAssessments": [Obj(more=True)], "environmentalConsiderations": Obj(more=True)}),
    "properties": [PROPERTY]})
TYPES = {"application", "framework", "library", "container", "platform", "operating-system", "device",
         "device-driver", "firmware", "file", "machine-learning-model", "data",
         "cryptographic-asset"}
COMPONENT = Obj({"type": TYPES, "name": TEXT})
COMPONENT.optional = {
    "bom-ref": TEXT, "version": TEXT, "description": TEXT, "hashes": [HASH], "modelCard": MODEL_CARD,
    "components": [COMPONENT], "properties": [PROPERTY],
    "licenses": [Obj({"license": Obj(optional={"name": TEXT, "id": TEXT})})],
    "data": [Obj({"type": {"source-code", "configuration", "dataset", "definition", "other"}},
                 {"bom-ref": TEXT, "name": TEXT, "description": TEXT, "contents": Obj(more=True),
                  "classification": TEXT, "sensitiveData": [TEXT], "governance": Obj(more=True)})]}
CYCLONEDX = Obj({"bomFormat": {"CycloneDX"}, "specVersion": {"1.6"}},
                {"serialNumber": r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
                 "version": int,
                 "metadata": Obj(optional={"timestamp": TIME, "component": COMPONENT,
                                           "tools": Obj(optional={"components": [COMPONENT]})}),
                 "components": [COMPONENT],
                 "dependencies": [Obj({"ref": TEXT}, {"dependsOn": [TEXT]})]})

DESCRIPTOR = Obj({"mediaType": TEXT, "digest": "sha256:" + HEX, "size": int},
                 {"annotations": Obj(more=True), "artifactType": TEXT})
MANIFEST = Obj({"schemaVersion": {2}, "mediaType": {"application/vnd.oci.image.manifest.v1+json"},
                "artifactType": TEXT, "config": DESCRIPTOR, "layers": [DESCRIPTOR],
                "subject": DESCRIPTOR}, {"annotations": Obj(more=True)})
INDEX = Obj({"schemaVersion": {2}, "mediaType": {"application/vnd.oci.image.index.v1+json"},
             "manifests": [DESCRIPTOR]})


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def signed(path, rule):
    envelope = load(path)
    if "dsseEnvelope" in envelope:
        check(envelope, SIGSTORE, path)
        envelope = envelope["dsseEnvelope"]
    check(envelope, ENVELOPE, path)
    payload = json.loads(base64.b64decode(envelope["payload"], validate=True))
    check(payload, rule, path)
    return payload


def references(bom):
    """Every bom-ref once; every reference to one that exists."""
    names = []

    def walk(value):
        if isinstance(value, dict):
            names.extend([value["bom-ref"]] if "bom-ref" in value else [])
            for member in value.values():
                walk(member)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(bom)
    assert len(names) == len(set(names)), names
    used = [d["ref"] for d in bom["dependencies"]]
    used += [r for d in bom["dependencies"] for r in d["dependsOn"]]
    card = bom["metadata"]["component"]["modelCard"]
    used += [d["ref"] for d in card["modelParameters"]["datasets"]]
    assert set(used) <= set(names), set(used) - set(names)


def scalar(text):
    """What YAML makes of the scalars that the card writes: JSON strings and plain numbers."""
    return json.loads(text)


def card(path, reports):
    """The front matter by the few shapes it has, and its numbers against the reports'."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert text.startswith("---\n")
    front, body = text[4:].split("\n---\n", 1)
    want = sorted(v["value"] for r in reports for v in r["quality"]["values"]
                  if v["subject"] == "candidate" and v["slice"] == "all")
    values, keys = [], []
    for line in front.split("\n"):
        match = re.fullmatch(r"( *)(- )?(?:([a-z_-]+):)? ?(.*)", line)
        assert match, line
        if match[4]:
            got = scalar(match[4])
            if match[3] == "value":
                values.append(got)
        if not match[1] and match[3] and not match[2]:
            keys.append(match[3])
    assert sorted(values) == want, (values, want)
    assert keys == ["license", "language", "library_name", "tags", "model-index"], keys
    rows = [line for line in body.split("\n") if line.startswith("| accuracy")]
    for row in rows:
        assert len(re.split(r"(?<!\\)\|", row)) == 8, row
    numbers = sorted(float(re.split(r"(?<!\\)\|", row)[3]) for row in rows)
    assert numbers == sorted(v["value"] for r in reports for v in r["quality"]["values"]
                             if v["subject"] == "candidate"), numbers


def layout(registry):
    """Every document is a referrer of the version that stands first in its bundle."""
    folder = f"{registry}/models/fashion"
    tags = {m["annotations"]["org.opencontainers.image.ref.name"]: m
            for m in load(f"{folder}/index.json")["manifests"]}
    blob = lambda d: f"{folder}/blobs/sha256/{d['digest'][7:]}"
    index = load(blob(tags["v1-bundle"]))
    check(index, INDEX, "bundle")
    assert index["manifests"][0]["digest"] == tags["v1"]["digest"]
    for row in index["manifests"][1:]:
        manifest = load(blob(row))
        check(manifest, MANIFEST, row["annotations"]["pawl.document"])
        assert manifest["subject"]["digest"] == tags["v1"]["digest"]
        assert manifest["subject"]["size"] == os.path.getsize(blob(tags["v1"]))
        for part in [row, manifest["config"], *manifest["layers"]]:
            assert os.path.getsize(blob(part)) == part["size"], part
    return tags["v1"]["digest"][7:]


def main():
    folder, registry = sys.argv[1], sys.argv[2]
    version = layout(registry)
    reports = [load(f"{folder}/report-{n}/report.json") for n in (1, 2)]
    provenance = signed(f"{folder}/provenance.intoto.json", PROVENANCE)
    assert {"sha256": version} in [s["digest"] for s in provenance["subject"]]
    dependencies = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [d["name"] for d in dependencies] == ["dataset", "pawl", "source"], dependencies
    for n, result in ((1, "WARNED"), (2, "FAILED")):
        test = signed(f"{folder}/report-{n}/test-result.intoto.json", TEST_RESULT)
        assert test["predicate"]["result"] == result, test["predicate"]
        assert {"sha256": version} in [s["digest"] for s in test["subject"]]
    signature = signed(f"{folder}/model.sig", SIGNATURE)
    assert len(signature["subject"]) == 1
    bom = load(f"{folder}/mlbom.cdx.json")
    check(bom, CYCLONEDX, "bom")
    references(bom)
    assert len(bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
               ["performanceMetrics"]) == 4
    card(f"{folder}/README.md", reports)


main()
