/* The bill of materials of a version: CycloneDX 1.6 (ECMA-424), a component of type
 * machine-learning-model with its model card, the data that it was trained and judged on, and its
 * files with their hashes. The serial number follows from what the document says, so that the same
 * facts give the same bytes. */
#include "registry/card.h"
#include "registry/documents.h"

#include <stdio.h>
#include <string.h>

static json_t *hashes(const char *hex)
{
    return json_pack("[{ss ss}]", "alg", "SHA-256", "content", hex);
}

static json_t *property(const char *name, const char *value)
{
    return json_pack("{ss ss}", "name", name, "value", value);
}

static json_t *data_component(const char *ref, const char *name, const char *hex,
                              const char *description)
{
    json_t *data = json_pack("[{ss ss ss}]", "type", "dataset", "name", name, "description",
                             description);
    json_t *json = json_pack("{ss ss ss so}", "type", "data", "bom-ref", ref, "name", name, "data",
                             data);
    json_object_set_new(json, "hashes", hashes(hex));
    return json;
}

static bool has_component(const json_t *components, const char *ref)
{
    size_t i;
    json_t *component;
    json_array_foreach(components, i, component)
    {
        if (strcmp(member_text(component, "bom-ref"), ref) == 0) return true;
    }
    return false;
}

/* The training data, then each split that a report is about. */
static json_t *data_components(struct arena *arena, const struct record *record)
{
    json_t *list = json_array(), *report;
    const json_t *trained = json_object_get(record->facts, "data");
    const char *hex = member_hex(trained, "digest");
    size_t i;
    if (hex)
        json_array_append_new(list, data_component("data:training",
                                                   path_base(member_text(trained, "path")), hex,
                                                   "training data; the hash is its manifest's"));
    json_array_foreach(record->reports, i, report)
    {
        const json_t *data = json_object_get(json_object_get(report, "inputs"), "data");
        const char *digest = member_hex(data, "digest");
        if (!digest) continue;
        const char *ref = arena_format(arena, "data:%s", digest);
        if (has_component(list, ref)) continue;
        const char *split = member_text(data, "split");
        json_array_append_new(list, data_component(ref, *split ? split : "predictions", digest,
                                                   "evaluation data; the hash is over its "
                                                   "columns"));
    }
    return list;
}

static json_t *file_components(struct arena *arena, const struct record *record)
{
    json_t *list = json_array();
    for (int i = 0; i < record->files->layer_count; i++) {
        const struct oci_layer *layer = &record->files->layers[i];
        json_t *json = json_pack("{ss ss ss}", "type", "file", "name", layer->name, "bom-ref",
                                 arena_format(arena, "file:%s", layer->name));
        json_object_set_new(json, "hashes", hashes(digest_hex(arena, &layer->digest)));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *parameters(struct arena *arena, const struct record *record, const json_t *data)
{
    const json_t *description = record->description;
    json_t *datasets = json_array(), *component;
    const char *task = member_text(description, "task");
    size_t i;
    json_array_foreach(data, i, component) json_array_append_new(
        datasets, json_pack("{ss}", "ref", member_text(component, "bom-ref")));
    json_t *json = json_pack("{s{ss} so}", "approach", "type", "supervised", "datasets", datasets);
    if (!*task) return json;
    json_object_set_new(json, "task", json_string(task));
    json_object_set_new(json, "modelArchitecture",
                        json_string(card_architecture(arena, description)));
    json_object_set_new(json, "inputs",
                        json_pack("[{ss}]", "format", card_input(arena, description)));
    json_object_set_new(json, "outputs",
                        json_pack("[{ss}]", "format", card_output(arena, description)));
    return json;
}

static json_t *metric(const json_t *value)
{
    char number[CARD_NUMBER], low[CARD_NUMBER], high[CARD_NUMBER];
    const char *slice = member_text(value, "slice");
    json_t *json = json_pack("{ss ss}", "type", member_text(value, "metric"), "value",
                             card_number(number, json_object_get(value, "value")));
    if (*slice && strcmp(slice, "all") != 0) json_object_set_new(json, "slice", json_string(slice));
    if (json_is_number(json_object_get(value, "low")) &&
        json_is_number(json_object_get(value, "high")))
        json_object_set_new(json, "confidenceInterval",
                            json_pack("{ss ss}", "lowerBound",
                                      card_number(low, json_object_get(value, "low")), "upperBound",
                                      card_number(high, json_object_get(value, "high"))));
    return json;
}

static json_t *metrics(const struct record *record)
{
    json_t *list = json_array(), *report, *value;
    size_t r, v;
    json_array_foreach(record->reports, r, report)
    {
        const json_t *quality = json_object_get(report, "quality");
        json_array_foreach(json_object_get(quality, "values"), v, value)
        {
            if (card_value_counts(value)) json_array_append_new(list, metric(value));
        }
    }
    return list;
}

/* What people wrote, under the names that the standard has for it. */
static json_t *considerations(const json_t *card)
{
    static const struct {
        const char *field, *name;
        bool named; /* a list of objects with a name instead of texts */
    } rows[] = {
        { "intended_use", "useCases", false },
        { "users", "users", false },
        { "limitations", "technicalLimitations", false },
        { "ethics", "ethicalConsiderations", true },
    };
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = json_object_get(card, rows[i].field);
        if (json_is_array(value) && json_array_size(value))
            json_object_set(json, rows[i].name, value);
        else if (json_is_string(value) && *json_string_value(value))
            json_object_set_new(json, rows[i].name,
                                rows[i].named ? json_pack("[{sO}]", "name", value)
                                              : json_pack("[O]", value));
    }
    return json;
}

static json_t *model_component(struct arena *arena, const struct record *record, const json_t *data)
{
    char digest[DIGEST_TEXT], model[DIGEST_TEXT];
    const struct oci_layer *weights = oci_layer(record->files, "model.safetensors");
    const char *summary = member_text(record->card, "summary");
    const char *licence = member_text(record->card, "license");
    digest_text(&record->digest, digest);
    digest_text(&record->files->model_digest, model);
    json_t *card = json_pack("{so s{so} so}", "modelParameters", parameters(arena, record, data),
                             "quantitativeAnalysis", "performanceMetrics", metrics(record),
                             "considerations", considerations(record->card));
    json_t *json = json_pack("{ss ss ss ss so so s[oo]}", "type", "machine-learning-model",
                             "bom-ref", "model", "name", record->model, "version", digest,
                             "modelCard", card, "components", file_components(arena, record),
                             "properties", property("pawl:version.digest", digest),
                             property("pawl:model.digest", model));
    if (weights) json_object_set_new(json, "hashes", hashes(digest_hex(arena, &weights->digest)));
    if (*summary) json_object_set_new(json, "description", json_string(summary));
    if (*licence)
        json_object_set_new(json, "licenses", json_pack("[{s{ss}}]", "license", "name", licence));
    return json;
}

/* A UUID of version 8 (RFC 9562, section 5.8) from the document's digest. */
static void set_serial(json_t *bom)
{
    char text[64];
    struct digest d = json_digest(bom);
    uint8_t *b = d.bytes;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x80);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(text, sizeof text,
             "urn:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    json_object_set_new(bom, "serialNumber", json_string(text));
}

void mlbom_make(struct evidence *evidence, struct arena *arena, const struct record *record)
{
    json_t *data = data_components(arena, record), *refs = json_array(), *component;
    size_t i, len;
    json_array_foreach(data, i, component)
        json_array_append(refs, json_object_get(component, "bom-ref"));
    json_t *metadata = json_pack("{s{s[{ss ss ss}]} so}", "tools", "components", "type",
                                 "application", "name", "pawl", "version", PAWL_VERSION,
                                 "component", model_component(arena, record, data));
    json_t *bom = json_pack("{ss ss si so so s[{ss so}]}", "bomFormat", "CycloneDX", "specVersion",
                            "1.6", "version", 1, "metadata", metadata, "components", data,
                            "dependencies", "ref", "model", "dependsOn", refs);
    REQUIRE(bom);
    set_serial(bom);
    const char *text = json_canonical(arena, bom, &len);
    document_text(evidence, "mlbom.cdx.json", "application/vnd.cyclonedx+json", text, len);
    json_decref(bom);
}
