/* Walking recorded reports for values. */
#include "workflow/facts.h"

#include <stdio.h>
#include <string.h>

enum { REPORT_LIMIT = 256 << 20 };

/* Reports of one version, the newest first. */
struct search {
    struct registry *registry;
    struct arena arena;
    const struct gate *gate;
    const struct digest *data;
    const char *model;
    int64_t number;
    double value;
    bool found; /* the last report met so far that has the value wins: the journal is in order */
};

static bool is_value(const json_t *value, const struct gate *gate)
{
    static const char *const keys[] = { "metric", "slice", "subject", "condition" };
    const char *const wanted[] = { gate->metric->name, gate->slice, "candidate", "clean" };
    for (size_t i = 0; i < 4; i++) {
        const char *text = json_string_value(json_object_get(value, keys[i]));
        if (!text || strcmp(text, wanted[i]) != 0) return false;
    }
    if (json_integer_value(json_object_get(value, "k")) != gate->k) return false;
    bool class = !gate->metric->takes_class ||
                 json_integer_value(json_object_get(value, "class")) == gate->of_class;
    bool q = !gate->metric->takes_quantile ||
             json_number_value(json_object_get(value, "q")) == gate->q;
    return class && q && json_is_number(json_object_get(value, "value"));
}

static void take_value(struct search *search, const json_t *report)
{
    struct digest data;
    const json_t *inputs = json_object_get(report, "inputs");
    const char *text = json_string_value(
        json_object_get(json_object_get(inputs, "data"), "digest"));
    if (!text || !digest_parse(&data, text) || !digest_equal(&data, search->data)) return;
    const json_t *values = json_object_get(json_object_get(report, "quality"), "values");
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);
        if (!is_value(value, search->gate)) continue;
        search->value = json_number_value(json_object_get(value, "value"));
        search->found = true;
        return;
    }
}

static enum code note_report(void *context, const struct entry *entry, struct err *err)
{
    struct search *search = context;
    const char *model = entry_text(entry, "model");
    struct digest content;
    struct bytes bytes;
    json_t *report = NULL;
    if (entry->kind != ENTRY_REPORT || !model || strcmp(model, search->model) != 0) return OK;
    if (entry_int(entry, "number") != search->number) return OK;
    const json_t *files = json_object_get(entry->body, "files");
    const char *text = json_string_value(json_object_get(files, "report.json"));
    if (!text || !digest_parse(&content, text)) return OK;
    TRY(store_read(&search->registry->store, &search->arena, &bytes, &content, REPORT_LIMIT, err));
    TRY(json_parse(&report, bytes.at, bytes.len, "a recorded report", err));
    take_value(search, report);
    json_decref(report);
    return OK;
}

static bool held_before(const struct channel *channel, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (channel->moves[i].number == channel->moves[at].number) return true;
    return false;
}

/* The values of a channel's versions in the order in which they first got there. */
static enum code walk_channel(json_t *list, struct registry *registry, const struct gate *gate,
                              const struct model_line *model, const struct channel *channel,
                              const struct digest *data, const struct digest *candidate,
                              struct err *err)
{
    for (size_t i = 0; i < channel->count; i++) {
        int64_t number = channel->moves[i].number;
        const struct version *version = model_version(model, number);
        if (held_before(channel, i) || !version || digest_equal(&version->model_digest, candidate))
            continue;
        struct search search = {
            .registry = registry, .gate = gate, .data = data, .model = model->name, .number = number
        };
        struct head head = { 0 };
        enum code code = journal_walk(&registry->journal, &head, note_report, &search, err);
        arena_release(&search.arena);
        if (code) return code;
        if (search.found)
            json_array_append_new(list,
                                  json_pack("{s:o,s:f}", "version",
                                            json_sprintf("%s@%lld", model->name, (long long)number),
                                            "value", search.value));
    }
    return OK;
}

static enum code gate_history(json_t *list, struct registry *registry, const struct gate *gate,
                              const struct digest *data, const struct digest *candidate,
                              struct err *err)
{
    char name[NAME_LIMIT + 1];
    const char *at = strchr(gate->over, '@');
    if (!at || at - gate->over > NAME_LIMIT)
        return err_set(err, CONFIG, "gate '%s' looks back at '%s', which is no NAME@CHANNEL",
                       gate->id, gate->over);
    snprintf(name, sizeof name, "%.*s", (int)(at - gate->over), gate->over);
    const struct model_line *model = state_model(&registry->state, name);
    if (!model)
        return err_set(err, NOT_FOUND, "gate '%s' looks back at '%s': there is no model '%s'",
                       gate->id, gate->over, name);
    const struct channel *channel = model_channel(model, at + 1);
    return channel ? walk_channel(list, registry, gate, model, channel, data, candidate, err) : OK;
}

enum code facts_history(json_t **history, const struct suite *suite, const char *registry_dir,
                        const struct digest *data, const struct digest *candidate, struct err *err)
{
    bool any = false;
    struct registry registry;
    *history = NULL;
    for (size_t g = 0; g < suite->gate_count; g++) any = any || suite->gates[g].rule == RULE_TREND;
    if (!any) return OK;
    if (!registry_dir) {
        err_set(err, USAGE, "the suite looks back at earlier versions, but no registry is named");
        return err_hint(err, "Say --registry DIR, or set PAWL_REGISTRY.");
    }
    TRY(registry_open(&registry, registry_dir, err));
    enum code code = registry_refresh(&registry, err);
    json_t *all = json_object();
    for (size_t g = 0; g < suite->gate_count && !code; g++) {
        const struct gate *gate = &suite->gates[g];
        if (gate->rule != RULE_TREND) continue;
        json_t *list = json_array();
        json_object_set_new(all, gate->id, list);
        code = gate_history(list, &registry, gate, data, candidate, err);
    }
    registry_close(&registry);
    if (code)
        json_decref(all);
    else
        *history = all;
    return code;
}
