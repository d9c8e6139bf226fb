/* The numbers of a gate: its bar or margin, and what it tolerates.
 *
 * A number that no model can miss, or none can reach, is refused: it is a slip of the unit (5 for
 * 0.05, seconds for milliseconds), and a gate that always passes is worse than none. */
#include "eval/suite_reader.h"

#include "base/units.h"

#include <math.h>
#include <string.h>

/* A margin in the metric's unit: less than all there is between its least and largest value. */
static double within_span(struct reader *reader, const struct node *node,
                          const struct metric *metric, double value)
{
    struct metric_range range = metric_range(metric);
    double span = range.high - range.low;
    if (value < span) return value;
    reader_refuse(
        reader, node,
        arena_format(reader->arena, "'%s' lies between %g and %g: no two models are %s apart",
                     metric->name, range.low, range.high, text_shown(reader->arena, node->text)))
        ->hint = span <= 1 ? "shares are written as 0.05, not 5" : NULL;
    return NAN;
}

/* Of a value that cannot lie below 0 nobody can lose all and more, nor gain that on one that is
 * better when it is smaller. */
static double share_of_baseline(struct reader *reader, const struct node *node,
                                const struct metric *metric, enum rule rule, double share)
{
    bool loses = rule == RULE_NOT_WORSE_BY ? metric->higher : !metric->higher;
    if (share < 1 || !loses || metric_range(metric).low < 0) return share;
    reader_refuse(reader, node,
                  arena_format(reader->arena, "'%s' never changes by %s in this direction",
                               metric->name, text_shown(reader->arena, node->text)))
        ->hint = "write a share below 100%";
    return NAN;
}

/* A margin: a number in the metric's unit, or a share of the baseline's value ("2%"). */
static double read_margin(struct reader *reader, bool *relative, const struct node *node,
                          const struct metric *metric, enum rule rule)
{
    size_t len = strlen(node->text);
    const char *reason = NULL;
    double value = NAN;
    *relative = len > 1 && node->text[len - 1] == '%';
    const char *text = *relative ? arena_copy_len(reader->arena, node->text, len - 1) : node->text;
    bool fine = !node->quoted && units_real(&value, text, false, &reason) && value >= 0;
    if (fine && *relative) return share_of_baseline(reader, node, metric, rule, value / 100);
    if (fine) return within_span(reader, node, metric, value);
    reader_refuse(reader, node,
                  arena_format(reader->arena,
                               "the margin of '%s' must be a number from 0 or a share of the "
                               "baseline like 2%%, got '%s'",
                               metric->name, text_shown(reader->arena, node->text)))
        ->hint = reason;
    return NAN;
}

/* A number in the metric's unit; false, with the reason where one is known, when it is none. */
static bool read_number(double *value, const char **what, const char **reason,
                        const struct node *node, const struct metric *metric)
{
    int64_t bytes = 0;
    bool fine;
    *what = "a number";
    if (metric->unit == UNIT_SECONDS) {
        *what = "a time with its unit, like 2ms";
        return units_time(value, node->text, NULL, reason);
    }
    if (metric->unit == UNIT_BYTES) {
        *what = "bytes, like 8MiB";
        fine = units_bytes(&bytes, node->text, reason);
        *value = (double)bytes;
        return fine;
    }
    return !node->quoted && units_real(value, node->text, false, reason);
}

/* A bar in the metric's unit; NaN after a problem. */
static double read_level(struct reader *reader, const struct node *node,
                         const struct metric *metric)
{
    const char *reason = NULL, *what;
    double value = NAN;
    if (!read_number(&value, &what, &reason, node, metric)) {
        reader_refuse(reader, node,
                      arena_format(reader->arena, "the bar of '%s' must be %s, got '%s'",
                                   metric->name, what, text_shown(reader->arena, node->text)))
            ->hint = reason;
        return NAN;
    }
    struct metric_range range = metric_range(metric);
    if (value < range.low || value > range.high) {
        bool share = range.low == 0 && range.high == 1;
        reader_refuse(reader, node,
                      arena_format(reader->arena, "the bar of '%s' must be %s, got %s",
                                   metric->name, range.words,
                                   text_shown(reader->arena, node->text)))
            ->hint = share && value > 1 && value <= 100 ? "shares are written as 0.91, not 91"
                                                        : NULL;
        return NAN;
    }
    return value;
}

double reader_bar(struct reader *reader, bool *relative, const struct node *limit,
                  const struct metric *metric, enum rule rule)
{
    if (rule_is_paired(rule)) return read_margin(reader, relative, limit, metric, rule);
    if (rule == RULE_TREND) return node_real(limit, NULL);
    double bar = read_level(reader, limit, metric);
    return rule == RULE_GAP && !isnan(bar) ? within_span(reader, limit, metric, bar) : bar;
}

/* Whether a bar moved by `tolerate` still has values on its wrong side. */
static bool can_fail(const struct metric *metric, enum rule rule, double bar, double tolerate)
{
    struct metric_range range = metric_range(metric);
    double span = range.high - range.low;
    if (rule == RULE_AT_LEAST) return bar - tolerate > range.low;
    if (rule == RULE_AT_MOST) return bar + tolerate < range.high;
    if (rule == RULE_BETTER_BY || rule == RULE_TREND) return tolerate < span;
    return bar + tolerate < span;
}

double reader_tolerance(struct reader *reader, const struct node *gate, const struct metric *metric,
                        enum rule rule, double bar)
{
    const struct node *node = node_at(gate, "tolerate");
    const char *reason = NULL, *what;
    double value = NAN;
    if (!node || node->is_default || isnan(bar)) return 0;
    if (metric->statistic == STATISTIC_EXACT) {
        reader_refuse(reader, node,
                      arena_format(reader->arena, "'%s' has no noise to tolerate", metric->name))
            ->hint = "write the bar that decides";
        return 0;
    }
    if (!read_number(&value, &what, &reason, node, metric) || value < 0) {
        reader_refuse(
            reader, node,
            arena_format(reader->arena, "'tolerate' of a gate on '%s' must be %s%s, got '%s'",
                         metric->name, what, metric->unit == UNIT_NONE ? " that is at least 0" : "",
                         text_shown(reader->arena, node->text)))
            ->hint = reason;
        return 0;
    }
    if (value == 0 || can_fail(metric, rule, bar, value)) return value;
    reader_refuse(reader, node,
                  arena_format(reader->arena,
                               "no model could fail this gate: 'tolerate' moves its bar from %g by "
                               "%s",
                               bar, text_shown(reader->arena, node->text)))
        ->hint = "it is in the unit of the metric: shares are written as 0.05, not 5";
    return 0;
}
