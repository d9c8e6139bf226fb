/* Where a rollback goes, which names are legal, and the lists of a policy, by tables: states are
 * made by hand, a policy's effective form is changed in one place. */
#include "registry/policy.h"
#include "registry/state.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

/* Moves of one channel: a digit is a promotion to that version, a letter a rollback (a: to 1, b: to
 * 2, ...), '=' one that changes nothing. */
Test(channel_rules, a_rollback_goes_down_the_stack)
{
    static const struct {
        const char *moves, *retired;
        int64_t before;
    } rows[] = {
        { "1", "", 0 },      { "12", "", 1 },     { "123", "", 2 },   { "123b", "", 1 },
        { "123ba", "", 0 },  { "12=", "", 1 },    { "1=", "", 0 },    { "11", "", 0 },
        { "1232", "", 3 },   { "1232c", "", 1 },  { "123", "2", 1 },  { "123", "21", 0 },
        { "123b3", "", 2 },  { "123b4", "", 2 },  { "12a2", "", 1 },  { "12a3", "", 1 },
        { "12a3a2", "", 1 }, { "123a", "", 0 },   { "123a2", "", 1 }, { "123a23", "", 2 },
        { "12a1", "", 0 },   { "123ba4", "", 1 }, { "1212a", "", 0 }, { "12321", "", 2 },
        { "12a32a", "", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct move moves[8] = { { 0 } };
        struct version versions[9] = { { 0 } };
        struct state state = { .open = true };
        struct model_line model = { .name = "m", .versions = versions, .version_count = 9 };
        struct channel channel = { .name = "c", .moves = moves };
        for (int v = 0; v < 9; v++) {
            versions[v].number = v + 1;
            versions[v].retired = strchr(rows[i].retired, '1' + v) != NULL;
        }
        for (const char *m = rows[i].moves; *m; m++) {
            struct move *move = &moves[channel.count++];
            move->rollback = isalpha(*m);
            move->unchanged = *m == '=';
            move->number = move->rollback ? *m - 'a' + 1 : *m - '0';
            if (move->unchanged) move->number = move[-1].number;
        }
        int64_t before = channel_before(&state, &model, &channel);
        cr_expect_eq(before, rows[i].before, "%s (%s): %lld, not %lld", rows[i].moves,
                     rows[i].retired, (long long)before, (long long)rows[i].before);
        cr_expect_eq(channel_now(&channel), &moves[channel.count - 1]);
        for (int v = 1; v < 9; v++) {
            bool held = strchr(rows[i].moves, '0' + v) || strchr(rows[i].moves, 'a' + v - 1);
            cr_expect_eq(channel_held(&channel, v), held, "%s: %d", rows[i].moves, v);
        }
    }
}

Test(channel_rules, names_are_short_plain_and_no_numbers)
{
    char most[NAME_LIMIT + 2];
    memset(most, 'a', sizeof most);
    const struct {
        const char *name;
        bool model, channel;
        const char *says;
    } rows[] = {
        { "a", true, true, NULL },
        { "z", true, true, NULL },
        { "0", true, false, "begins with a digit" },
        { "9z", true, false, "begins with a digit" },
        { "a0.b_9-z", true, true, NULL },
        { "az09", true, true, NULL },
        { "", false, false, "it has 0 characters, not 1 to 64" },
        { most + 1, false, false, "it has 65 characters" },
        { most + 2, true, true, NULL },
        { ".a", false, false, "character 1 is not" },
        { "-a", false, false, "character 1 is not" },
        { "_a", false, false, "character 1 is not" },
        { "aB", false, false, "character 2 is not" },
        { "a`", false, false, "character 2 is not" },
        { "a{", false, false, "character 2 is not" },
        { "a/", false, false, "character 2 is not" },
        { "a:", false, false, "character 2 is not" },
        { "ab c", false, false, "character 3 is not" },
        { "v7", true, false, "reads like a version's tag" },
        { "v12-bundle", true, false, "reads like a version's tag" },
        { "v", true, true, NULL },
        { "v7a", true, true, NULL },
        { "v7-bundles", true, true, NULL },
        { "v-bundle", true, true, NULL },
        { "w7", true, true, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *name = rows[i].name == most + 1   ? most
                           : rows[i].name == most + 2 ? most + 1
                                                      : rows[i].name;
        most[NAME_LIMIT + 1] = '\0';
        struct err err = { 0 };
        cr_expect_eq(name_check_model(name, NULL), rows[i].model ? OK : USAGE, "%s", name);
        cr_expect_eq(name_check_channel(name, &err), rows[i].channel ? OK : USAGE, "%s", name);
        if (rows[i].says) cr_expect(strstr(err.message, rows[i].says), "%s: %s", name, err.message);
    }
}

/* Persons are counted once, however many keys they have. */
Test(channel_rules, persons_are_counted_by_role)
{
    enum { T = 1 << SIGNER_TRAINER, A = 1 << SIGNER_APPROVER };
    struct policy_key keys[] = {
        { .person = "ada", .roles = T },     { .person = "grace", .roles = A },
        { .person = "ada", .roles = T | A }, { .person = "grace", .roles = T | A },
        { .person = "linus", .roles = A },   { .person = "ada", .roles = T | A },
    };
    static const struct {
        size_t keys;
        enum signer_role role;
        const char *without, *names;
        int64_t persons;
    } rows[] = {
        { 0, SIGNER_TRAINER, NULL, "nobody", 0 },
        { 1, SIGNER_TRAINER, NULL, "ada", 1 },
        { 1, SIGNER_APPROVER, NULL, "nobody", 0 },
        { 3, SIGNER_TRAINER, NULL, "ada", 1 },
        { 3, SIGNER_APPROVER, NULL, "grace, ada", 2 },
        { 6, SIGNER_TRAINER, NULL, "ada, grace", 2 },
        { 6, SIGNER_APPROVER, NULL, "grace, ada, linus", 3 },
        { 6, SIGNER_APPROVER, "ada", "grace, ada, linus", 2 },
        { 6, SIGNER_APPROVER, "mallory", "grace, ada, linus", 3 },
        { 6, SIGNER_POLICY, NULL, "nobody", 0 },
    };
    struct arena arena = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct policy policy = { .keys = keys, .key_count = rows[i].keys };
        cr_expect_eq(policy_persons(&policy, rows[i].role, rows[i].without), rows[i].persons, "%zu",
                     i);
        cr_expect_str_eq(policy_names(&arena, &policy, rows[i].role), rows[i].names);
    }
    arena_release(&arena);
}

Test(channel_rules, words_of_roles_rules_and_kinds)
{
    static const char *const roles[] = { "trainer", "evaluator", "approver", "releaser", "policy" };
    static const char *const waivable[] = { "verdict", "fresh", "stage", "exposure" };
    for (int r = 0; r < SIGNER_COUNT; r++)
        cr_expect_str_eq(role_name((enum signer_role)r), roles[r]);
    for (int v = 0; v < WAIVABLE_COUNT; v++) {
        cr_expect_str_eq(waivable_name((enum waivable)v), waivable[v]);
        cr_expect_eq(waivable_find(waivable[v]), (enum waivable)v);
    }
    cr_expect_eq(waivable_find("seal"), WAIVABLE_COUNT);
    cr_expect_eq(role_of_kind(ENTRY_REPORT), SIGNER_EVALUATOR);
    cr_expect_eq(role_of_kind(ENTRY_APPROVE), SIGNER_APPROVER);
    cr_expect_eq(role_of_kind(ENTRY_PROMOTE), SIGNER_RELEASER);
    cr_expect_eq(role_of_kind(ENTRY_ROLLBACK), SIGNER_RELEASER);
}
