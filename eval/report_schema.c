/* The table of members, and the two things made from it.
 *
 * A path leads through objects by '.', through the items of lists by "[]". Rows stand in order:
 * parents before children. A member marked OPEN may hold anything below it. */
#include "eval/report_schema.h"

#include <string.h>

enum {
    TEXT = 1 << 0,
    NUMBER = 1 << 1,
    WHOLE = 1 << 2,
    TRUTH = 1 << 3,
    OBJECT = 1 << 4,
    LIST = 1 << 5,
    NOTHING = 1 << 6, /* null is allowed */
    OPTIONAL = 1 << 7,
    OPEN = 1 << 8
};

struct member {
    const char *path;
    unsigned is;
    const char *help;
};

#define GATES(part)                                                                                \
    { part ".gates", LIST, "Every gate of this part, with its verdict." },                         \
        { part ".gates[]", OBJECT, "One gate, or one label of {every: label}." },                  \
        { part ".gates[].id", TEXT, "The gate; with \"/label=N\" for one label." },                \
        { part ".gates[].gate", TEXT, "The gate's id in the suite." },                             \
        { part ".gates[].goal", TRUTH, "A goal, not a guard." },                                   \
        { part ".gates[].metric", TEXT, "What is measured." },                                     \
        { part ".gates[].rule", TEXT, "at_least, at_most, not_worse_by, better_by, ..." },         \
        { part ".gates[].bar", NUMBER, "The bar as the suite states it." },                        \
        { part ".gates[].decided_at", NUMBER,                                                      \
          "The bar that decides, moved by what it tolerates." },                                   \
        { part ".gates[].relative", TRUTH | OPTIONAL, "The bar is a share of the baseline." },     \
        { part ".gates[].slice", TEXT,                                                             \
          "The rows: all, a slice, label=N, or both sides of a gap." },                            \
        { part ".gates[].gap", LIST | OPTIONAL, "The two slices of a gap." },                      \
        { part ".gates[].gap[]", TEXT, "A slice, or rest." },                                      \
        { part ".gates[].sides", LIST | OPTIONAL, "Rows on each side of a gap." },                 \
        { part ".gates[].sides[]", WHOLE, "Rows." },                                               \
        { part ".gates[].against", TEXT | OPTIONAL, "The baseline." },                             \
        { part ".gates[].perturb", TEXT | OPTIONAL, "The perturbation of the rows." },             \
        { part ".gates[].over", TEXT | OPTIONAL, "The channel that a trend looks back at." },      \
        { part ".gates[].trend", LIST | OPTIONAL, "Values of versions, oldest first." },           \
        { part ".gates[].trend[]", NUMBER | NOTHING, "A value; the last is this model's." },       \
        { part ".gates[].n", WHOLE, "Rows, samples or versions." },                                \
        { part ".gates[].value", NUMBER | NOTHING, "The metric, gain, difference or slope." },     \
        { part ".gates[].low", NUMBER | NOTHING, "Lower one-sided bound at alpha." },              \
        { part ".gates[].high", NUMBER | NOTHING, "Upper one-sided bound at alpha." },             \
        { part ".gates[].method", TEXT, "How it is bounded; see docs/metrics.md." },               \
        { part ".gates[].guarantee", TEXT, "exact or approximate." },                              \
        { part ".gates[].p_pass", NUMBER | NOTHING, "p-value against passing." },                  \
        { part ".gates[].p_fail", NUMBER | NOTHING, "p-value against failing." },                  \
        { part ".gates[].check", NUMBER | OPTIONAL, "p_pass again, by flipping signs." },          \
        { part ".gates[].fail_level", NUMBER, "What p_fail was held to; 0: not tested." },         \
        { part ".gates[].verdict", TEXT, "pass, fail or inconclusive." },                          \
        { part ".gates[].reason", TEXT, "Why, as one word." },                                     \
        { part ".gates[].counts", TRUTH, "Whether a release must pass it." },                      \
        { part ".gates[].severity", TEXT, "block or warn." },                                      \
        { part ".gates[].decide", TEXT, "bound or point." },                                       \
        { part ".gates[].k", WHOLE | OPTIONAL, "top_k: how many guesses count." },                 \
        { part ".gates[].class", WHOLE | OPTIONAL, "Metrics of one class: which." },               \
        { part ".gates[].q", NUMBER | OPTIONAL, "quantile_loss: which quantile." },                \
        { part ".gates[].batch", WHOLE | OPTIONAL, "System metrics: rows in a call." },            \
        { part ".gates[].machine", TEXT | OPTIONAL, "The machine class that the bar is for." },    \
        { part ".gates[].why", TEXT | OPTIONAL, "The suite's reason for the bar." },               \
        { part ".gates[].needed_n", NUMBER | OPTIONAL, "Rows that would decide." },                \
    {                                                                                              \
        part ".gates[].smallest_effect", NUMBER | OPTIONAL,                                        \
            "Distance from the bar that these rows can see."                                       \
    }

static const struct member members[] = {
    { "pawl", TEXT, "report/1." },
    { "inputs", OBJECT, "What was evaluated: enough to decide again." },
    { "inputs.suite", OBJECT | OPEN, "The effective suite (suite/1)." },
    { "inputs.suite_digest", TEXT, "Digest of it." },
    { "inputs.model", OBJECT, "The candidate." },
    { "inputs.model.name", TEXT, "As it was named." },
    { "inputs.model.digest", TEXT, "Model digest, or that of the predictions." },
    { "inputs.model.weights", TEXT, "raw, ema or predictions." },
    { "inputs.data", OBJECT, "The rows." },
    { "inputs.data.dataset", TEXT | NOTHING, "Digest of the dataset; null: predictions alone." },
    { "inputs.data.split", TEXT, "Which split decides." },
    { "inputs.data.digest", TEXT, "Logical digest of the rows." },
    { "inputs.data.rows", WHOLE, "How many." },
    { "inputs.data.task", TEXT, "classification, regression or tokens." },
    { "inputs.data.classes", WHOLE, "Classes; 0 for other tasks." },
    { "inputs.data.class_names", LIST, "Their names, if any." },
    { "inputs.data.class_names[]", TEXT, "A class." },
    { "inputs.baselines", LIST, "Every baseline of the suite, in its order." },
    { "inputs.baselines[]", OBJECT, "A baseline." },
    { "inputs.baselines[].name", TEXT, "As the suite names it." },
    { "inputs.baselines[].ref", TEXT, "What it resolved to." },
    { "inputs.baselines[].missing", TRUTH, "There is none yet." },
    { "inputs.baselines[].digest", TEXT | OPTIONAL, "Model digest, or that of predictions." },
    { "inputs.baselines[].train_split", TEXT | OPTIONAL, "majority: digest of what it counts." },
    { "inputs.registry", OBJECT | NOTHING, "What a registry knows; null: unsealed." },
    { "inputs.registry.id", TEXT, "The registry." },
    { "inputs.registry.seal", WHOLE, "The entry that sealed the bar." },
    { "inputs.registry.look", WHOLE, "The how-manieth look at this model under this suite." },
    { "inputs.registry.seals", WHOLE, "How often this candidate's bar was sealed." },
    { "inputs.registry.bars", WHOLE, "How many different bars that were." },
    { "inputs.registry.exposures", WHOLE, "Models that were looked at on these rows, at least." },
    { "inputs.registry.model", TEXT, "The version's model." },
    { "inputs.registry.number", WHOLE, "The version's number." },
    { "inputs.history", OBJECT | OPEN | OPTIONAL, "Values of earlier versions, by gate." },
    { "inputs.pawl", TEXT, "The build that evaluated." },
    { "inputs.methods", TEXT, "The release of the statistical methods." },
    { "quality", OBJECT, "What follows from the scores alone." },
    { "quality.n", WHOLE, "Rows." },
    { "quality.scores", TEXT, "Digest of all columns of scores.h5." },
    { "quality.methods", TEXT, "The release of the statistical methods." },
    { "quality.resamples", WHOLE, "Bootstrap resamples." },
    { "quality.interval", NUMBER, "Confidence of printed intervals: 1 - 2 alpha." },
    GATES("quality"),
    { "quality.values", LIST, "Metrics by subject, condition and slice." },
    { "quality.values[]", OBJECT, "One value." },
    { "quality.values[].metric", TEXT, "Which metric." },
    { "quality.values[].slice", TEXT, "all, a slice, or label=N." },
    { "quality.values[].subject", TEXT, "candidate, or a baseline." },
    { "quality.values[].condition", TEXT, "clean, or a perturbation." },
    { "quality.values[].n", WHOLE, "Rows." },
    { "quality.values[].method", TEXT, "How it is bounded; none: it is not." },
    { "quality.values[].value", NUMBER | NOTHING, "The value." },
    { "quality.values[].low", NUMBER | NOTHING, "Lower end of its interval; null: none." },
    { "quality.values[].high", NUMBER | NOTHING, "Upper end." },
    { "quality.values[].k", WHOLE | OPTIONAL, "top_k: how many guesses count." },
    { "quality.values[].class", WHOLE | OPTIONAL, "Metrics of one class: which." },
    { "quality.values[].q", NUMBER | OPTIONAL, "quantile_loss: which quantile." },
    { "quality.confusion", OBJECT | OPEN | OPTIONAL, "[label, prediction, count] by subject." },
    { "quality.reliability", OBJECT | OPEN | OPTIONAL, "Bins of confidence by subject." },
    { "measured", OBJECT, "What was measured on this machine." },
    { "measured.machine", TEXT | NOTHING, "Its class; null: no model was run." },
    { "measured.device", TEXT, "The device." },
    { "measured.samples", TEXT, "Digest of the samples." },
    GATES("measured"),
    { "measured.system", LIST, "Every measurement." },
    { "measured.system[]", OBJECT, "One measurement." },
    { "measured.system[].metric", TEXT, "Which metric." },
    { "measured.system[].n", WHOLE, "Samples." },
    { "measured.system[].method", TEXT, "How it is bounded." },
    { "measured.system[].value", NUMBER | NOTHING, "The value." },
    { "measured.system[].low", NUMBER | NOTHING, "Lower bound." },
    { "measured.system[].high", NUMBER | NOTHING, "Upper bound." },
    { "measured.system[].batch", WHOLE | OPTIONAL, "Rows in a call." },
    { "verdict", OBJECT, "What was decided." },
    { "verdict.result", TEXT, "pass, fail or inconclusive." },
    { "verdict.pass", LIST, "Ids of gates that count and pass." },
    { "verdict.pass[]", TEXT, "A gate." },
    { "verdict.fail", LIST, "Ids of gates that count and fail." },
    { "verdict.fail[]", TEXT, "A gate." },
    { "verdict.inconclusive", LIST, "Ids of gates that count and are open." },
    { "verdict.inconclusive[]", TEXT, "A gate." },
    { "verdict.warned", LIST, "Gates of severity warn that do not pass." },
    { "verdict.warned[]", TEXT, "A gate." },
    { "verdict.not_counted", LIST, "Blocking gates with too few rows to count." },
    { "verdict.not_counted[]", TEXT, "A gate." },
    { "verdict.decided_by_point", LIST, "Gates that ignore noise." },
    { "verdict.decided_by_point[]", TEXT, "A gate." },
    { "digests", OBJECT, "SHA-256 of the canonical form of each part, and of these." },
    { "digests.inputs", TEXT, "Of inputs." },
    { "digests.quality", TEXT, "Of quality." },
    { "digests.measured", TEXT, "Of measured." },
    { "digests.verdict", TEXT, "Of verdict." },
    { "digests.report", TEXT, "Of the four before: the report's." },
};

enum { MEMBERS = sizeof members / sizeof *members };

/* Whether row `i` lies directly below `path` ("" for the top); its own key comes out. */
static const char *child_key(size_t i, const char *path, size_t len)
{
    const char *at = members[i].path;
    if (len) {
        if (strncmp(at, path, len) != 0 || at[len] != '.') return NULL;
        at += len + 1;
    }
    return strpbrk(at, ".[") ? NULL : at;
}

static json_t *schema_of(size_t i);

/* Properties of an object: all rows directly below it. */
static void add_properties(json_t *schema, const char *path)
{
    json_t *properties = json_object(), *required = json_array();
    size_t len = strlen(path);
    for (size_t i = 0; i < MEMBERS; i++) {
        const char *key = child_key(i, path, len);
        if (!key) continue;
        json_object_set_new(properties, key, schema_of(i));
        if (!(members[i].is & OPTIONAL)) json_array_append_new(required, json_string(key));
    }
    json_object_set_new(schema, "properties", properties);
    json_object_set_new(schema, "required", required);
    json_object_set_new(schema, "additionalProperties", json_false());
}

static json_t *types_of(unsigned is)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = { { TEXT, "string" },   { NUMBER, "number" }, { WHOLE, "integer" },
                  { TRUTH, "boolean" }, { OBJECT, "object" }, { LIST, "array" },
                  { NOTHING, "null" } };
    json_t *list = json_array();
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        if (is & words[w].bit) json_array_append_new(list, json_string(words[w].word));
    if (json_array_size(list) > 1) return list;
    json_t *only = json_incref(json_array_get(list, 0));
    json_decref(list);
    return only;
}

/* The row of a list's items: the next one. */
static bool has_items(size_t i)
{
    size_t len = strlen(members[i].path);
    return i + 1 < MEMBERS && strncmp(members[i + 1].path, members[i].path, len) == 0 &&
           strcmp(members[i + 1].path + len, "[]") == 0;
}

static json_t *schema_of(size_t i)
{
    const struct member *member = &members[i];
    json_t *schema = json_object();
    json_object_set_new(schema, "type", types_of(member->is));
    json_object_set_new(schema, "description", json_string(member->help));
    if (member->is & OBJECT && !(member->is & OPEN)) add_properties(schema, member->path);
    if (member->is & LIST && has_items(i)) json_object_set_new(schema, "items", schema_of(i + 1));
    return schema;
}

json_t *report_schema(void)
{
    json_t *schema = json_pack(
        "{s:s,s:s,s:s,s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
        "report/1", "description", "What an evaluation found and decided.", "type", "object");
    add_properties(schema, "");
    return schema;
}

static bool is_of_type(const json_t *value, unsigned is)
{
    return (is & TEXT && json_is_string(value)) || (is & NUMBER && json_is_number(value)) ||
           (is & WHOLE && json_is_integer(value)) || (is & TRUTH && json_is_boolean(value)) ||
           (is & OBJECT && json_is_object(value)) || (is & LIST && json_is_array(value)) ||
           (is & NOTHING && json_is_null(value));
}

static bool member_conforms(const json_t *value, size_t i, struct str *why);

static bool object_conforms(const json_t *object, const char *path, struct str *why)
{
    const char *key;
    json_t *value;
    size_t len = strlen(path);
    for (size_t i = 0; i < MEMBERS; i++) {
        const char *name = child_key(i, path, len);
        const json_t *there = name ? json_object_get(object, name) : NULL;
        if (!name || (!there && members[i].is & OPTIONAL)) continue;
        if (!there) {
            str_addf(why, "'%s' is missing", members[i].path);
            return false;
        }
        if (!member_conforms(there, i, why)) return false;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < MEMBERS && !known; i++) {
            const char *name = child_key(i, path, len);
            known = name && strcmp(name, key) == 0;
        }
        if (known) continue;
        str_addf(why, "'%s' in '%s' is not known", key, path);
        return false;
    }
    return true;
}

static bool member_conforms(const json_t *value, size_t i, struct str *why)
{
    const struct member *member = &members[i];
    if (!is_of_type(value, member->is)) {
        str_addf(why, "'%s' has another type", member->path);
        return false;
    }
    if (json_is_object(value) && !(member->is & OPEN))
        return object_conforms(value, member->path, why);
    if (!json_is_array(value) || !has_items(i)) return true;
    for (size_t item = 0; item < json_array_size(value); item++)
        if (!member_conforms(json_array_get(value, item), i + 1, why)) return false;
    return true;
}

bool report_conforms(const json_t *report, struct str *why)
{
    return object_conforms(report, "", why);
}
