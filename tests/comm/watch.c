/* The watch's parts by themselves: limits that learn, marks that do not come, the ring, who is
 * late. */
#include "comm/watch.h"

#include <criterion/criterion.h>
#include <string.h>

Test(watch, a_limit_is_five_times_the_longest_wait_but_never_below_its_floor)
{
    struct watch_limit limit = { 0 };
    cr_expect_eq(watch_limit(&limit), 30);
    watch_learn(&limit, 5);
    cr_expect_eq(watch_limit(&limit), 30);
    watch_learn(&limit, 8);
    watch_learn(&limit, 2);
    cr_expect_eq(watch_limit(&limit), 40);
    limit.floor_s = 100;
    cr_expect_eq(watch_limit(&limit), 100);
}

/* One look: time, groups given, marks, whether it is too late now. */
struct look {
    double now;
    uint64_t issued, begun, ended;
    bool late;
};

static const struct {
    const char *name;
    struct look looks[12];
} stories[] = {
    { "idle for ever", { { 0, 0, 0, 0, false }, { 1000, 0, 0, 0, false } } },
    { "a mark each 9 s, then none",
      { { 0, 2, 0, 0, false },
        { 9, 2, 1, 0, false },
        { 18, 2, 1, 1, false },
        { 27, 2, 2, 1, false },
        { 71, 2, 2, 1, false },
        { 72, 2, 2, 1, true } } },
    { "the floor", { { 0, 1, 0, 0, false }, { 9.9, 1, 0, 0, false }, { 10, 1, 0, 0, true } } },
    { "begun is a mark too",
      { { 0, 1, 0, 0, false },
        { 9, 1, 1, 0, false },
        { 18, 1, 1, 0, false },
        { 53, 1, 1, 0, false },
        { 54, 1, 1, 0, true } } },
    { "pauses between steps teach nothing",
      { { 0, 1, 1, 1, false },
        { 500, 1, 1, 1, false },
        { 501, 2, 1, 1, false },
        { 502, 2, 2, 1, false },
        { 503, 2, 2, 2, false },
        { 900, 2, 2, 2, false },
        { 901, 3, 2, 2, false },
        { 910, 3, 2, 2, false },
        { 911, 3, 2, 2, true } } },
    { "given while the one before still runs",
      { { 0, 1, 1, 0, false },
        { 4, 1, 1, 0, false },
        { 5, 2, 1, 0, false },
        { 9, 2, 2, 1, false },
        { 53, 3, 2, 1, false },
        { 54, 3, 2, 1, true } } },
};

Test(watch, only_a_mark_that_is_owed_and_does_not_come_is_late)
{
    for (size_t s = 0; s < sizeof stories / sizeof *stories; s++) {
        struct watch_progress progress = { .limit = { .floor_s = 10 }, .idle = true };
        for (int i = 0; i < 12; i++) {
            const struct look *look = &stories[s].looks[i];
            if (i && look->now <= stories[s].looks[i - 1].now) break;
            struct collective_marks marks = { look->begun, look->ended };
            cr_expect_eq(watch_look(&progress, look->now, look->issued, marks), look->late,
                         "%s, at %g s", stories[s].name, look->now);
        }
    }
}

Test(watch, the_late_one_is_who_does_not_answer_or_is_furthest_behind)
{
    static const struct {
        struct rank_mark marks[4];
        uint64_t reference;
        bool device;
        int late;
    } cases[] = {
        { { { 5, 0, 1, 0 }, { 5, 0, 1, 0 }, { 5, 0, 1, 0 }, { 5, 0, 1, 0 } }, 5, false, -1 },
        { { { 5, 0, 1, 0 }, { 4, 0, 1, 0 }, { 3, 0, 1, 0 }, { 5, 0, 1, 0 } }, 5, false, 2 },
        { { { 5, 0, 1, 0 }, { 4, 0, 1, 0 }, { 3, 0, 1, 0 }, { 0, 0, 0, 0 } }, 5, false, 3 },
        { { { 6, 0, 1, 0 }, { 5, 0, 1, 0 }, { 7, 0, 1, 0 }, { 5, 0, 1, 0 } }, 5, false, -1 },
        { { { 1, 0, 1, 9 }, { 2, 0, 1, 9 }, { 3, 0, 1, 8 }, { 4, 0, 1, 9 } }, 9, true, 2 },
        { { { 1, 0, 1, 7 }, { 2, 0, 1, 8 }, { 3, 0, 1, 7 }, { 4, 0, 1, 9 } }, 9, true, 0 },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        cr_expect_eq(watch_find_late(cases[c].marks, 4, cases[c].reference, cases[c].device),
                     cases[c].late, "case %zu", c);
}

Test(watch, the_ring_keeps_the_newest)
{
    static struct watch_ring ring;
    cr_expect_null(watch_entry(&ring, 0));
    for (uint64_t i = 1; i <= 3 * WATCH_RING + 5; i++) {
        struct watch_entry *entry = watch_add(&ring, "all_gather", i * 10, (double)i);
        cr_expect(entry->number == i && entry->bytes == i * 10 && entry->seconds < 0);
        cr_expect_eq(watch_entry(&ring, i), entry);
        cr_expect_null(watch_entry(&ring, i + 1));
        if (i > WATCH_RING) cr_expect_null(watch_entry(&ring, i - WATCH_RING));
    }
    cr_expect_str_eq(watch_entry(&ring, ring.last - WATCH_RING + 1)->what, "all_gather");
}
