/* One reader for numbers, tables for everything behind them.
 *
 * A number is split into sign, digits, decimal exponent and suffix. Whole numbers are computed in
 * integers, so that 9007199254740993 keeps its last digit; reals go through strtod on the text
 * without underscores, so that they are correctly rounded. */
#include "base/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct number {
    char digits[64]; /* sign, digits, point and exponent without underscores, for strtod */
    const char *suffix;
};

static bool refuse(const char **reason, const char *why)
{
    if (reason) *reason = why;
    return false;
}

/* Copies a run of digits without its underscores, which must stand between digits. */
static const char *take_digits(struct number *number, size_t *used, const char *at)
{
    const char *start = at;
    while (isdigit((unsigned char)*at) ||
           (*at == '_' && at > start && at[-1] != '_' && isdigit((unsigned char)at[1]))) {
        if (*at != '_') {
            if (*used >= sizeof number->digits - 1) return start;
            number->digits[(*used)++] = *at;
        }
        at++;
    }
    return at;
}

/* Splits text into number and suffix; false when it does not begin with a number. */
static bool split(struct number *number, const char *text, const char **reason)
{
    size_t used = 0;
    const char *at = text;
    if (*at == '-' || *at == '+') number->digits[used++] = *at++;
    const char *whole = at;
    at = take_digits(number, &used, at);
    size_t digits = (size_t)(at - whole);
    if (digits > 1 && whole[0] == '0')
        return refuse(reason, "leading zeros are not allowed; 0o17 is octal");
    if (*at == '.' && used < sizeof number->digits - 1) {
        number->digits[used++] = *at++;
        const char *fraction = at;
        at = take_digits(number, &used, at);
        digits += (size_t)(at - fraction);
    }
    if (digits == 0) return refuse(reason, NULL);
    size_t sign = at[0] && (at[1] == '-' || at[1] == '+') ? 1 : 0;
    if ((*at == 'e' || *at == 'E') && isdigit((unsigned char)at[1 + sign])) {
        if (used + 2 < sizeof number->digits - 1) {
            number->digits[used++] = 'e';
            if (sign) number->digits[used++] = at[1];
        }
        at = take_digits(number, &used, at + 1 + sign);
    }
    if (isdigit((unsigned char)*at)) return refuse(reason, "more digits than a number can hold");
    if (*at == '_') return refuse(reason, "'_' may stand between digits only");
    number->digits[used] = '\0';
    number->suffix = at;
    return true;
}

static bool times_ten(int64_t *value)
{
    return !__builtin_mul_overflow(*value, (int64_t)10, value);
}

/* digits (without sign) times `factor` as an exact whole number. */
static bool whole(int64_t *value, const char *digits, int64_t factor, const char **reason)
{
    static const char *const large = "too large: it does not fit into 64 bits";
    const char *exponent = strchr(digits, 'e');
    long shift = exponent ? strtol(exponent + 1, NULL, 10) : 0;
    bool negative = digits[0] == '-', point = false;
    int64_t total = 0;
    for (const char *c = digits; *c && *c != 'e'; c++) {
        if (*c == '.') point = true;
        if (!isdigit((unsigned char)*c)) continue;
        if (!times_ten(&total) || __builtin_add_overflow(total, *c - '0', &total))
            return refuse(reason, large);
        if (point) shift--;
    }
    if (total && shift > 18) return refuse(reason, large);
    /* The factor is applied first where the shift divides: 1.5M is 15 * 1000000 / 10. */
    if (__builtin_mul_overflow(total, factor, &total)) return refuse(reason, large);
    for (; total && shift > 0; shift--)
        if (!times_ten(&total)) return refuse(reason, large);
    for (; total && shift < 0; shift++) {
        if (total % 10) return refuse(reason, "it is not whole");
        total /= 10;
    }
    *value = negative ? -total : total;
    return true;
}

struct unit {
    const char *name;
    double factor; /* exact in a double */
};

static const struct unit counts[] = {
    { "", 1 }, { "k", 1e3 }, { "M", 1e6 }, { "G", 1e9 }, { "T", 1e12 }, { NULL, 0 },
};
static const struct unit bytes[] = {
    { "", 1 },       { "B", 1 },
    { "KiB", 1024 }, { "MiB", 1048576 },
    { "kB", 1e3 },   { "GiB", 1073741824 },
    { "MB", 1e6 },   { "TiB", 1099511627776.0 },
    { "GB", 1e9 },   { "TB", 1e12 },
    { NULL, 0 },
};
static const struct unit times[] = {
    { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 },  { "min", 60 },
    { "h", 3600 },  { "d", 86400 }, { NULL, 0 },
};
static const struct unit steps[] = {
    { "st", 1 },
    { "kst", 1e3 },
    { "Mst", 1e6 },
    { NULL, 0 },
};
static const struct unit epochs[] = { { "ep", 1 }, { NULL, 0 } };
static const struct unit tokens[] = {
    { "tok", 1 }, { "ktok", 1e3 }, { "Mtok", 1e6 }, { "Gtok", 1e9 }, { "Ttok", 1e12 }, { NULL, 0 },
};

static const struct unit *find(const struct unit *units, const char *name)
{
    for (; units->name; units++)
        if (strcmp(units->name, name) == 0) return units;
    return NULL;
}

bool units_null(const char *text)
{
    return strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

bool units_bool(bool *value, const char *text, const char **reason)
{
    static const struct {
        const char *text;
        bool value, is;
    } words[] = {
        { "true", true, true },   { "True", true, true },   { "TRUE", true, true },
        { "false", false, true }, { "False", false, true }, { "FALSE", false, true },
        { "yes", true, false },   { "on", true, false },    { "1", true, false },
        { "no", false, false },   { "off", false, false },  { "0", false, false },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(words[i].text, text) != 0) continue;
        if (words[i].is && strcmp(words[i].text, text) != 0) continue;
        *value = words[i].value;
        return words[i].is ? true : refuse(reason, *value ? "write true" : "write false");
    }
    return refuse(reason, NULL);
}

static bool based(int64_t *value, const char *text, const char **reason)
{
    int base = text[1] == 'x' ? 16 : 8;
    const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
    size_t len = strlen(text + 2);
    if (len == 0 || strspn(text + 2, digits) != len) return refuse(reason, NULL);
    if (len > (base == 16 ? 15 : 20))
        return refuse(reason, "too large: it does not fit into 64 bits");
    *value = strtoll(text + 2, NULL, base);
    return true;
}

bool units_int(int64_t *value, const char *text, const char **reason)
{
    struct number number;
    if (reason) *reason = NULL;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) return based(value, text, reason);
    if (!split(&number, text, reason)) return false;
    const struct unit *unit = find(counts, number.suffix);
    if (!unit) return refuse(reason, "only k, M, G and T may stand behind the number");
    return whole(value, number.digits, (int64_t)unit->factor, reason);
}

bool units_real(double *value, const char *text, bool infinite, const char **reason)
{
    struct number number;
    if (reason) *reason = NULL;
    bool negative = text[0] == '-';
    const char *word = text + (negative || text[0] == '+');
    word += word[0] == '.';
    if (strcasecmp(word, "inf") == 0) {
        *value = negative ? (double)-INFINITY : (double)INFINITY;
        return infinite ? true : refuse(reason, "it must be finite");
    }
    if (strcasecmp(word, "nan") == 0) return refuse(reason, "NaN is not allowed");
    if (!split(&number, text, reason)) return false;
    const struct unit *unit = find(counts, number.suffix);
    if (!unit) return refuse(reason, "only k, M, G and T may stand behind the number");
    *value = strtod(number.digits, NULL) * unit->factor;
    if (!isfinite(*value)) return refuse(reason, "too large for a number");
    return true;
}

bool units_bytes(int64_t *value, const char *text, const char **reason)
{
    struct number number;
    if (reason) *reason = NULL;
    if (!split(&number, text, reason)) return false;
    const struct unit *unit = find(bytes, number.suffix);
    if (!unit) return refuse(reason, "units are B, KiB, MiB, GiB, TiB, kB, MB, GB and TB");
    return whole(value, number.digits, (int64_t)unit->factor, reason);
}

bool units_time(double *seconds, const char *text, const char *unit, const char **reason)
{
    static const char *const accepted = "units are us, ms, s, min, h and d";
    struct number number;
    if (reason) *reason = NULL;
    if (!split(&number, text, reason)) return false;
    const char *name = number.suffix[0] || !unit ? number.suffix : unit;
    const struct unit *found = find(times, name);
    if (!found)
        return refuse(reason, name[0] ? accepted : "a unit is missing: us, ms, s, min, h or d");
    double value = strtod(number.digits, NULL);
    /* Dividing keeps 2ms the double nearest to 0.002. */
    *seconds = found->factor < 1 ? value / round(1 / found->factor) : value * found->factor;
    if (!isfinite(*seconds)) return refuse(reason, "too large for a number");
    return true;
}

bool units_span(struct span *span, const char *text, const char *unit, const char **reason)
{
    static const struct unit *const tables[] = {
        [SPAN_STEPS] = steps, [SPAN_EPOCHS] = epochs, [SPAN_TOKENS] = tokens
    };
    struct number number;
    if (reason) *reason = NULL;
    if (!split(&number, text, reason)) return false;
    const char *name = number.suffix[0] || !unit ? number.suffix : unit;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const struct unit *found = find(tables[i], name);
        if (!found) continue;
        span->unit = (enum span_unit)i;
        span->value = strtod(number.digits, NULL);
        if (i == SPAN_EPOCHS)
            return isfinite(span->value) || refuse(reason, "too large for a number");
        int64_t count;
        if (!whole(&count, number.digits, (int64_t)found->factor, reason)) return false;
        span->value = (double)count;
        return true;
    }
    return refuse(reason, name[0] ? "units are ep (epochs), st (steps) and tok, ktok, Mtok (tokens)"
                                  : "a unit is missing: ep (epochs), st (steps) or tok (tokens)");
}

const char *units_bytes_text(char text[UNITS_TEXT], double amount)
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    size_t i = 0;
    for (; fabs(amount) >= 1024 && i + 1 < sizeof names / sizeof *names; i++) amount /= 1024;
    snprintf(text, UNITS_TEXT, i ? "%.2f %s" : "%.0f %s", amount, names[i]);
    return text;
}

const char *units_time_text(char text[UNITS_TEXT], double seconds)
{
    if (seconds < 1e-3)
        snprintf(text, UNITS_TEXT, "%.1f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(text, UNITS_TEXT, "%.1f ms", seconds * 1e3);
    else if (seconds < 60)
        snprintf(text, UNITS_TEXT, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(text, UNITS_TEXT, "%d min %d s", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, UNITS_TEXT, "%.0f h %d min", floor(seconds / 3600),
                 (int)fmod(seconds / 60, 60));
    return text;
}

const char *units_span_text(char text[UNITS_TEXT], struct span span)
{
    static const char *const names[] = {
        [SPAN_STEPS] = "st", [SPAN_EPOCHS] = "ep", [SPAN_TOKENS] = "tok"
    };
    snprintf(text, UNITS_TEXT, "%.17g%s", span.value, names[span.unit]);
    return text;
}
